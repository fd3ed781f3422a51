"""Metrics of a training or evaluation epoch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

LossName = Literal["cross_entropy", "squared_error"]


@dataclass(frozen=True)
class EvaluationMetrics:
    """Metrics of a network on a split. `EpochMetrics` documents each of them."""

    loss: float
    accuracy: float
    macro_f1: float
    balanced_accuracy: float


# (images, labels, order) -> (loss, accuracy). Trains on the images in this order, which may leave some out.
TrainingEpoch = Callable[[NDArray[Any], NDArray[np.int64], NDArray[np.int64]], tuple[float, float]]
# (images, labels) -> metrics. Does not change the network.
EvaluationEpoch = Callable[[NDArray[Any], NDArray[np.int64]], EvaluationMetrics]


def make_metrics(
    total_loss: float, hits: NDArray[np.int64], predicted: NDArray[np.int64], labels: NDArray[np.int64]
) -> EvaluationMetrics:
    """Compute the metrics of an evaluation epoch.

    Args:
        total_loss: Sum of the loss over the images.
        hits: (classes,) number of correctly classified images of each class.
        predicted: (classes,) number of images predicted as each class.
        labels: (n,) true classes.
    """
    present = np.bincount(labels, minlength=len(hits))
    seen = predicted + present
    shown = seen > 0
    return EvaluationMetrics(
        loss=total_loss / len(labels),
        accuracy=int(hits.sum()) / len(labels),
        macro_f1=float(np.mean(2.0 * hits[shown] / seen[shown])),
        balanced_accuracy=float(np.mean(hits[present > 0] / present[present > 0])),
    )
