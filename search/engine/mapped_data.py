"""The prepared data as a path, so that each process maps the files instead of receiving a copy."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.data.training_data import TrainingData, read_training_data
from pipeline.errors import UserError


@dataclass(frozen=True)
class MappedData:
    """Where the data of a study are.

    Attributes:
        folder: Folder of the prepared data.
        digests: Digests of the training and the validation split.
    """

    folder: Path
    digests: tuple[str, str]

    def read(self) -> TrainingData:
        """Map the files.

        Raises:
            UserError: The data are missing or damaged, or have changed since the study began.
        """
        data = read_training_data(self.folder, verify=False)  # the driver verified them
        if (data.train.digest, data.val.digest) != self.digests:
            raise UserError(
                f"{self.folder}: the prepared data have changed since the study began; run `fovea search` again"
            )
        return data

    def read_if_here(self) -> TrainingData | None:
        """Map the files, if this machine has the same data at the same path."""
        try:
            return self.read()
        except (UserError, OSError):
            return None


def place_of(data: TrainingData, folder: Path | None) -> "MappedData | TrainingData":
    """Where the data are, or the data themselves if they are in no folder."""
    return data if folder is None else MappedData(folder.resolve(), (data.train.digest, data.val.digest))


def unmapped(data: TrainingData) -> TrainingData:
    """The same data, without memory maps, which pickle copies into the memory of this process before it sends them."""
    train, val = (replace(split, images=np.asarray(split.images).view(np.ndarray)) for split in (data.train, data.val))
    return replace(data, train=train, val=val)
