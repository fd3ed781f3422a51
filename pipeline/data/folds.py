"""Other divisions of the training and validation images, for cross-validation."""

import numpy as np

from pipeline.data.split import Split
from pipeline.data.training_data import TrainingData
from pipeline.digest import digest


def fold(data: TrainingData, number: int) -> TrainingData:
    """Return the data with another part of the images for validation, in memory.

    Fold 0 is the data themselves. For the others, the training split is divided into parts of about the size of the
    validation split, with about the same share of each class. Each fold validates on one of these parts, and trains on
    the rest together with the original validation split. Once every part has validated, the training split is divided
    again in another order. The metadata of the dataset, with mean and std, remain those of the original training split.

    Args:
        data: The original splits.
        number: Number of the fold. Equal data and numbers give equal folds.
    """
    if number == 0:
        return data
    train, val = data.train, data.val
    parts = max(1, round(len(train.labels) / len(val.labels)))
    division, part = divmod(number - 1, parts)
    order = np.random.default_rng(division).permutation(len(train.labels))
    by_class = order[np.argsort(train.labels[order], kind="stable")]
    validates = np.zeros(len(train.labels), bool)
    validates[by_class[part::parts]] = True
    key = digest(train.digest, val.digest, number)
    return TrainingData(
        data.dataset,
        Split(
            "train",
            np.concatenate([train.images[~validates], val.images]),
            np.concatenate([train.labels[~validates], val.labels]),
            f"train {key}",
        ),
        Split("val", train.images[validates], train.labels[validates], f"val {key}"),
    )
