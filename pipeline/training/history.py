"""What each epoch of a training gave."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class EpochMetrics:
    """One epoch's figures; none of them depends on time or machine load.

    Attributes:
        epoch: number of the epoch, from 1.
        loss: what was minimised, averaged over the training images while the weights changed.
        accuracy: share of the training images classified rightly, likewise.
        val_loss: the loss on the validation split after the epoch, without label smoothing and class weights.
        val_accuracy: share of the validation images classified rightly after the epoch.
        val_macro_f1: F1 on the validation split after the epoch, averaged over the classes that it has or that the
            network answers.
        learning_rate: at the epoch's first step.
    """

    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    val_macro_f1: float
    learning_rate: float


def best_epoch(history: Sequence[EpochMetrics]) -> int:
    """Number of the epoch with the highest val_accuracy, 0 without any epoch.

    Among equals it is the one with the lowest val_loss, then the earliest.
    """
    if not history:
        return 0
    return max(history, key=lambda entry: (entry.val_accuracy, -entry.val_loss, -entry.epoch)).epoch
