"""The data of a training run."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.data.dataset import Dataset, read_dataset
from pipeline.data.split import Split, read_split
from pipeline.errors import UserError


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


def read_training_data(folder: Path, verify: bool = True) -> TrainingData:
    """Read the training and the validation split of a prepared dataset. Their images are memory-mapped.

    Args:
        folder: Folder of dataset.json and the splits.
        verify: Whether to compare the splits with their digests.

    Raises:
        UserError: A file is missing or damaged.
    """
    dataset = read_dataset(folder / "dataset.json")
    train, val = (read_split(folder / name, name, verify) for name in ("train", "val"))
    require_splits_of(dataset, train, val)
    return TrainingData(dataset, train, val)


def require_splits_of(dataset: Dataset, *splits: Split) -> None:
    """Reject splits of another dataset.

    Raises:
        UserError: The dataset names another digest for a split.
    """
    for split in splits:
        if dataset.digests.get(split.name, split.digest) != split.digest:
            raise UserError(
                f"dataset.json must describe the {split.name} split (digest {split.digest[:16]}), got digest "
                f"{dataset.digests[split.name][:16]}; run `dvc repro --force prepare`"
            )
