"""Read the header of an array in NumPy's format, and check it against the number of bytes that follow."""

import struct
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Any

import numpy as np

from pipeline.arrays.size import amount, bytes_of, check_dtype
from pipeline.errors import UserError, message_of

_LENGTH = {(1, 0): "<H", (2, 0): "<I"}  # struct formats of the header's length, by version of the format
_MAX_HEADER = 10_000
REMEDY = "write it with numpy.save"


@dataclass(frozen=True)
class ArrayLayout:
    """Where an array is in a file.

    Attributes:
        shape: Shape of the array.
        dtype: Numbers or text.
        offset: Position of the first value.
        column_major: Whether the first index changes fastest (Fortran order).
        size: Number of bytes of the values.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    column_major: bool
    size: int


def read_npy_header(file: IO[bytes], where: str) -> ArrayLayout:
    """Read the header of an array in NumPy's format. Only the header is read from the file.

    Args:
        file: A file at the start of the format.
        where: Start of an error message.

    Returns:
        The layout, with an offset from the start of the format.

    Raises:
        UserError: The header is damaged, or declares Python objects, records, or an impossible shape.
    """
    magic = file.read(8)
    version = (magic[6], magic[7]) if len(magic) == 8 and magic[:6] == b"\x93NUMPY" else None
    if version not in _LENGTH:
        shown = "an empty file" if not magic else f"{magic[:6].hex(' ')} at its start"
        raise UserError(f"{where}: must be an array in NumPy's format (.npy), got {shown}; {REMEDY}")
    length_format = _LENGTH[version]
    packed = file.read(struct.calcsize(length_format))
    length = struct.unpack(length_format, packed)[0] if len(packed) == struct.calcsize(length_format) else 0
    if not 0 < length <= _MAX_HEADER:
        raise UserError(f"{where}: has a damaged header of {length:,} bytes; {REMEDY}")
    header = BytesIO(packed + file.read(length))
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, column_major, dtype = read(header)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise UserError(f"{where}: has a damaged header: {message_of(error)}; {REMEDY}") from None
    check_dtype(dtype, where)
    offset = len(magic) + len(packed) + length
    return ArrayLayout(shape, dtype, offset, column_major, bytes_of(shape, dtype, where))


def check_complete(layout: ArrayLayout, present: int, where: str) -> None:
    """Check that a file contains as many bytes of values as its header declares.

    Raises:
        UserError: There are fewer or more.
    """
    if present != layout.size:
        reason = "is truncated, or its header is damaged" if present < layout.size else "contains more than one array"
        raise UserError(
            f"{where}: declares shape {layout.shape} of {layout.dtype}, which is {amount(layout.size)}, got "
            f"{amount(present)}; the file {reason}; write it again"
        )
