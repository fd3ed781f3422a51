"""Metrics of each epoch of a training run."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class EpochMetrics:
    """Metrics of one epoch. None of them depends on time or machine load.

    Attributes:
        epoch: Number of the epoch, from 1.
        loss: Training loss, averaged over the training images while the weights changed.
        accuracy: Training accuracy, averaged in the same way.
        val_loss: Validation loss after the epoch, without label smoothing and class weights.
        val_accuracy: Validation accuracy after the epoch.
        val_macro_f1: Validation F1 after the epoch, averaged over the classes that have images or are predicted.
        val_balanced_accuracy: Validation recall after the epoch, averaged over the classes that have images.
        learning_rate: Learning rate at the first step of the epoch.
    """

    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    val_macro_f1: float
    val_balanced_accuracy: float
    learning_rate: float


def best_epoch(history: Sequence[EpochMetrics]) -> int:
    """Number of the epoch with the highest val_accuracy; 0 if there are no epochs.

    Ties are broken by the lowest val_loss, then by the earliest epoch.
    """
    if not history:
        return 0
    return max(history, key=lambda entry: (entry.val_accuracy, -entry.val_loss, -entry.epoch)).epoch
