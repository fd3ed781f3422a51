"""ROC and precision–recall curves of each class against all others."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.metrics import Predictions


@dataclass(frozen=True)
class Curves:
    """The curves of one class, and the areas under them."""

    name: str
    false_positives: NDArray[np.float64]
    true_positives: NDArray[np.float64]
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    roc_auc: float
    average_precision: float


def curves(predictions: Predictions, classes: tuple[str, ...]) -> tuple[Curves, ...]:
    """Compute the curves of each class, except for classes that have no images or all of them."""
    from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

    found = []
    for label, name in enumerate(classes):
        truth, score = predictions.labels == label, predictions.probabilities[:, label]
        if truth.all() or not truth.any():
            continue
        false, true, _ = roc_curve(truth, score)
        precision, recall, _ = precision_recall_curve(truth, score)
        found.append(
            Curves(
                name, false, true, recall, precision, float(auc(false, true)),
                float(average_precision_score(truth, score)),
            )
        )  # fmt: skip
    return tuple(found)
