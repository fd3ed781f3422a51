"""The data of a training run."""

from dataclasses import dataclass

from pipeline.data.dataset import Dataset
from pipeline.data.split import Split


@dataclass(frozen=True)
class TrainingData:
    """The splits that a network is trained and validated on.

    Attributes:
        dataset: Metadata of the dataset; its mean and std standardize the input.
        train: The training split.
        val: The validation split, which determines the best epoch.
    """

    dataset: Dataset
    train: Split
    val: Split
