"""Other splits of the training and validation images, for cross-validation."""

import numpy as np
from numpy.typing import NDArray

from pipeline.data.rows import JoinedRows, Rows, SelectedRows
from pipeline.data.split import Split, SplitName
from pipeline.data.training_data import TrainingData
from pipeline.digest import digest


def fold(data: TrainingData, number: int) -> TrainingData:
    """Return another fold of the training and validation images. Its images are read on demand.

    Fold 0 is the original split. For the others, the training images are divided into at least two parts, of about the
    size of the validation split and with about the same share of each class; a class with fewer images than parts is
    missing in some. Images of a group are in one part. Each fold validates on one part, and trains on the rest and on
    the original validation images. After each part was used once, the training images are shuffled and divided again.
    The metadata of the dataset, with mean and std, remain those of the original training split.

    Args:
        data: The original splits.
        number: Number of the fold. Equal data and numbers give equal folds.
    """
    if number == 0:
        return data
    train, val = data.train, data.val
    parts = max(2, round(len(train.labels) / len(val.labels)))
    shuffle, part = divmod(number - 1, parts)
    if train.groups:
        in_val = _groups(train, parts, part, shuffle)
    else:
        order = np.random.default_rng(shuffle).permutation(len(train.labels))
        in_val = np.zeros(len(train.labels), bool)
        in_val[order[np.argsort(train.labels[order], kind="stable")][part::parts]] = True

    joined, groups = JoinedRows(train.images, val.images), (*train.groups, *val.groups)
    labels, weights = np.concatenate([train.labels, val.labels]), None
    if train.weights is not None and val.weights is not None:  # prepare writes both or neither
        weights = np.concatenate([train.weights, val.weights])

    def split(name: SplitName, images: Rows, places: NDArray[np.int64]) -> Split:
        of_groups = [train.groups] if train.groups else []
        return Split(
            name,
            images,
            labels[places],
            digest(train.digest, val.digest, number, name, *of_groups),
            groups=tuple(groups[place] for place in places) if groups else (),
            weights=None if weights is None else weights[places],
        )

    kept = np.concatenate([np.flatnonzero(~in_val), np.arange(len(in_val), len(labels))])
    validated = np.flatnonzero(in_val)
    return TrainingData(
        data.dataset,
        split("train", SelectedRows(joined, kept), kept),
        split("val", SelectedRows(train.images, validated), validated),
    )


def _groups(train: Split, parts: int, part: int, shuffle: int) -> NDArray[np.bool_]:
    """Whether each training image is in a part of a stratified division that keeps groups together."""
    from sklearn.model_selection import StratifiedGroupKFold

    groups = np.unique(train.groups, return_inverse=True)[1]
    most = min(parts, int(groups.max()) + 1)
    divided = StratifiedGroupKFold(max(2, most), shuffle=True, random_state=shuffle)
    chosen = list(divided.split(groups, train.labels, groups))[part % max(2, most)][1]
    return np.isin(np.arange(len(groups)), chosen)
