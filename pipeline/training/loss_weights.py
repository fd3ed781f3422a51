"""How much each class and each sample counts in the training loss."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.data.split import Split


def sample_weights(train: Split) -> NDArray[np.float32] | None:
    """Scale the weights of the training samples so that their mean is 1, and the learning rate keeps its meaning.

    Equal weights become exactly 1.

    Args:
        train: The training split.

    Returns:
        (n,) positive weights; None if the split has none.
    """
    if train.weights is None:
        return None
    weights = np.asarray(train.weights, np.float64)
    return np.asarray(weights / weights.mean(), np.float32)


def class_weights(
    setting: Literal["none", "balanced"],
    labels: NDArray[np.int64],
    classes: int,
    weights: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Weight of each class. With `balanced`, every class has the same sum, and the mean over the samples is 1.

    A sample of weight 2 counts like two samples.

    Args:
        setting: `training.class_weight`.
        labels: (n,) class indices of the training samples.
        classes: Number of classes.
        weights: (n,) weights of the training samples, whose mean is 1; None: all of them are 1.

    Returns:
        (classes,) weights; 0 for a class without samples.
    """
    if setting == "none":
        return np.ones(classes, np.float32)
    sums = np.bincount(labels, weights, minlength=classes).astype(np.float64)
    share = len(labels) / np.count_nonzero(sums)
    return np.divide(share, sums, out=np.zeros(classes), where=sums > 0).astype(np.float32)


def mean_weights(setting: Literal["none", "balanced"], train: Split, classes: int) -> NDArray[np.float64] | None:
    """Mean weight in the training loss of the samples of each class.

    Args:
        setting: `training.class_weight`.
        train: The training split.
        classes: Number of classes.

    Returns:
        (classes,) mean weights; 0 for a class without samples; None if all samples count the same.
    """
    weights = sample_weights(train)
    if weights is None and setting == "none":
        return None
    counts = np.bincount(train.labels, minlength=classes)
    sums = np.bincount(train.labels, weights, minlength=classes)
    return np.asarray(class_weights(setting, train.labels, classes, weights) * sums / np.maximum(counts, 1))
