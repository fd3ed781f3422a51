"""Other splits of the training and validation images, for cross-validation."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.split import Split, SplitName
from pipeline.data.training_data import TrainingData
from pipeline.digest import digest


def fold(data: TrainingData, number: int) -> TrainingData:
    """Return another fold of the training and validation images, in memory.

    Fold 0 is the original split. For the others, the training images are divided into at least two parts, of about the
    size of the validation split and with about the same share of each class; a class with fewer images than parts is
    missing in some. Each fold validates on one part, and trains on the rest and on the original validation images.
    After each part was used once, the training images are shuffled and divided again. The metadata of the dataset, with
    mean and std, remain those of the original training split.

    Args:
        data: The original splits.
        number: Number of the fold. Equal data and numbers give equal folds.
    """
    if number == 0:
        return data
    train, val = data.train, data.val
    parts = max(2, round(len(train.labels) / len(val.labels)))
    shuffle, part = divmod(number - 1, parts)
    order = np.random.default_rng(shuffle).permutation(len(train.labels))
    in_val = np.zeros(len(train.labels), bool)
    in_val[order[np.argsort(train.labels[order], kind="stable")][part::parts]] = True

    def split(name: SplitName, images: NDArray[Any], labels: NDArray[np.int64]) -> Split:
        return Split(name, images, labels, digest(train.digest, val.digest, number, name))

    images = np.empty((int((~in_val).sum()) + len(val.labels), *train.images.shape[1:]), train.images.dtype)
    np.compress(~in_val, train.images, axis=0, out=images[: len(images) - len(val.labels)])
    images[len(images) - len(val.labels) :] = val.images
    return TrainingData(
        data.dataset,
        split("train", images, np.concatenate([train.labels[~in_val], val.labels])),
        split("val", train.images[in_val], train.labels[in_val]),
    )
