"""Volumes that are put together from decoded files when they are read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.rows import Rows
from pipeline.data.volume_format import VolumeFormat
from pipeline.volumes.fit import fitted


@dataclass(frozen=True)
class StoredVolume:
    """A volume in the store of decoded files.

    Attributes:
        split: Part of the source.
        label: Class index.
        group: Group that must not be distributed over several splits; empty: none.
        weight: Weight in the training loss; None: the volumes have none.
        name: Name relative to the source.
        rows: Decoded files of one shape, among them those of this volume.
        first: Place of the first one.
        count: Number of slices; 0: the row is the volume, which is fitted already.
        shape: Shape of the volume after it is fitted.
        size: Depth, height and width before.
        format: Format of the file, or `slices`.
    """

    split: str
    label: int
    group: str
    weight: float | None
    name: str
    rows: Rows
    first: int
    count: int
    shape: tuple[int, ...]
    size: tuple[int, ...]
    format: str


class VolumeRows:
    """Volumes that are put together from decoded files when they are read.

    Attributes:
        shape: Number of volumes, then the shape of a volume.
        dtype: float32.
    """

    def __init__(self, volumes: Sequence[StoredVolume], form: VolumeFormat) -> None:
        """Describe volumes, of one shape.

        Args:
            volumes: At least one volume.
            form: How stacks of slices are fitted.
        """
        self.shape = (len(volumes), *volumes[0].shape)
        self.dtype = np.dtype(np.float32)
        self._volumes, self._form = volumes, form

    def __len__(self) -> int:
        """Number of volumes."""
        return len(self._volumes)

    def __getitem__(self, chosen: Any, /) -> NDArray[np.float32]:
        """Read volumes.

        Args:
            chosen: A slice, or (n,) int64 indices.
        """
        places = np.arange(len(self))[chosen]
        read = np.empty((len(places), *self.shape[1:]), np.float32)
        for number, place in enumerate(places.tolist()):
            volume = self._volumes[place]
            values = volume.rows[volume.first : volume.first + max(1, volume.count)]
            read[number] = fitted(values, self._form) if volume.count else values[0]
        return read
