"""The data of a training run."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.data.dataset import Dataset, read_dataset
from pipeline.data.split import Split, read_split


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


def read_training_data(folder: Path) -> TrainingData:
    """Read the training and the validation split of a prepared dataset. Their images are memory-mapped.

    Raises:
        UserError: A file is missing or damaged.
    """
    return TrainingData(
        read_dataset(folder / "dataset.json"), read_split(folder / "train", "train"), read_split(folder / "val", "val")
    )
