"""Read one sample from an .npy file, for networks that were trained on arrays."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays.float32 import as_float32
from pipeline.arrays.npy import ArrayLayout, check_complete, read_npy_header
from pipeline.arrays.size import NUMBERS
from pipeline.errors import UnreadableError, UserError
from pipeline.file_content import content_of

SUFFIXES = (".npy",)
_MAGIC = b"\x93NUMPY"
_HEADER = 65_536  # bytes that the header of a file may take


def read_sample(source: Path | bytes, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Read an .npy file that contains one sample.

    Args:
        source: Path or content of the file.
        name: Name of the file in messages.
        shape: Shape of the sample, channels last. An array without channels is accepted if there is one.

    Returns:
        The sample in this shape.

    Raises:
        UnreadableError: The file is missing, damaged, in another format, or has another shape, NaN or infinity.
    """
    content = content_of(source, name, "an array", _HEADER + 16 * int(np.prod(shape)))
    if not content.startswith(_MAGIC):
        raise UnreadableError(f"{name}: must be an array in an .npy file, got another format")
    layout = layout_of(content, name)
    plain = shape[:-1] if shape[-1] == 1 else shape
    if layout.shape not in (shape, plain) or layout.dtype.kind not in NUMBERS:
        raise UnreadableError(
            f"{name}: must be an array of numbers of shape {shape}, like the training data, got {layout.dtype} of "
            f"shape {layout.shape}"
        )
    values = values_of(content, layout, name).reshape(shape)
    if not np.isfinite(values).all():
        place = tuple(int(axis) for axis in np.argwhere(~np.isfinite(values))[0])
        raise UnreadableError(f"{name}: values must be finite, got {values[place]:g} at {place}; replace such values")
    return values


def layout_of(content: bytes, name: str) -> ArrayLayout:
    """Read the header of an .npy file, and check that the file is complete.

    Raises:
        UnreadableError: The header is damaged, or the file is truncated or contains objects.
    """
    try:
        layout = read_npy_header(BytesIO(content), name)
        check_complete(layout, len(content) - layout.offset, name)
    except UserError as error:
        raise UnreadableError(str(error)) from None
    return layout


def values_of(content: bytes, layout: ArrayLayout, name: str) -> NDArray[np.float32]:
    """The values in an .npy file, in the shape that its header declares.

    Raises:
        UnreadableError: A value exceeds the range of 32 bits, or an integer would be rounded.
    """
    order: Any = "F" if layout.column_major else "C"
    stored = np.frombuffer(content, layout.dtype, offset=layout.offset).reshape(layout.shape, order=order)
    return np.ascontiguousarray(as_float32(stored, name))
