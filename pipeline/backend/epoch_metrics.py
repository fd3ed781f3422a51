"""What a pass over a split's images measures."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

LossName = Literal["cross_entropy", "squared_error"]


@dataclass(frozen=True)
class EvaluationMetrics:
    """How a network answers a split's images; `EpochMetrics` says what each figure is."""

    loss: float
    accuracy: float
    macro_f1: float


# (images, labels, order) -> (loss, accuracy): trains on the images in that order, which may leave some out.
TrainingEpoch = Callable[[NDArray[Any], NDArray[np.int64], NDArray[np.int64]], tuple[float, float]]
# (images, labels) -> figures: leaves the network as it is.
EvaluationEpoch = Callable[[NDArray[Any], NDArray[np.int64]], EvaluationMetrics]


def make_metrics(
    total_loss: float, hits: NDArray[np.int64], predicted: NDArray[np.int64], labels: NDArray[np.int64]
) -> EvaluationMetrics:
    """The figures of a pass.

    Args:
        total_loss: sum over the images.
        hits: (classes,), images of each class that were classified rightly.
        predicted: (classes,), images that were classified as each class.
        labels: (n,), the right classes.
    """
    seen = predicted + np.bincount(labels, minlength=len(hits))
    shown = seen > 0
    return EvaluationMetrics(
        loss=total_loss / len(labels),
        accuracy=int(hits.sum()) / len(labels),
        macro_f1=float(np.mean(2.0 * hits[shown] / seen[shown])),
    )
