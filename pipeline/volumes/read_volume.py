"""Read a file with a volume as an array."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays.sample_file import layout_of, values_of
from pipeline.arrays.size import NUMBERS
from pipeline.data.volume_format import VolumeFormat
from pipeline.errors import UnreadableError
from pipeline.file_content import content_of
from pipeline.volumes.fit import fitted
from pipeline.volumes.nifti import MAX_VALUES, decode_nifti, is_nifti

SUFFIXES = (".nii", ".nii.gz", ".npy")
MAX_FILE = 2**30  # bytes


class DecodedVolume(NamedTuple):
    """A volume in the form that a network expects.

    Attributes:
        values: (depth, height, width, channels) float32 values.
        shape: Depth, height and width of the file.
        format: NIFTI or NPY.
    """

    values: NDArray[np.float32]
    shape: tuple[int, int, int]
    format: str


def read_volume(source: Path | bytes, name: str, form: VolumeFormat) -> DecodedVolume:
    """Read a NIfTI file, plain or gzipped, or an .npy file.

    An .npy file contains an array (depth, height, width), or with channels as a fourth axis.

    Args:
        source: Path or content of the file.
        name: Name of the file in messages.
        form: Shape of the result.

    Raises:
        UnreadableError: The file is missing, damaged, in another format, too large, or contains NaN or infinity.
    """
    content = content_of(source, name, "a volume", MAX_FILE)
    medical = is_nifti(content)
    values = decode_nifti(content, name) if medical else _decode_npy(content, name)
    if not np.isfinite(values).all():
        place = tuple(int(axis) for axis in np.argwhere(~np.isfinite(values))[0])
        raise UnreadableError(
            f"{name}: values must be finite, got {values[place]:g} at depth {place[0]}, row {place[1]}, column "
            f"{place[2]}; replace such values"
        )
    depth, height, width, _ = values.shape
    return DecodedVolume(fitted(values, form), (depth, height, width), "NIFTI" if medical else "NPY")


def _decode_npy(content: bytes, name: str) -> NDArray[np.float32]:
    if content[:6] != b"\x93NUMPY":
        raise UnreadableError(f"{name}: must be a volume ({', '.join(SUFFIXES)}), got another format")
    layout = layout_of(content, name)
    if len(layout.shape) not in (3, 4) or 0 in layout.shape or layout.dtype.kind not in NUMBERS:
        raise UnreadableError(
            f"{name}: must be an array of numbers (depth, height, width) or (depth, height, width, channels), got "
            f"{layout.dtype} of shape {layout.shape}"
        )
    if layout.size // layout.dtype.itemsize > MAX_VALUES:
        raise UnreadableError(f"{name}: must have at most {MAX_VALUES:,} values, got shape {layout.shape}")
    values = values_of(content, layout, name)
    return values if values.ndim == 4 else values[..., np.newaxis]
