"""Limits on what a file may declare: checked before anything is allocated or decompressed."""

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import DTypeLike

from pipeline.errors import UserError

NUMBERS = "biuf"  # kinds of NumPy dtypes: booleans, integers, floating-point numbers
TEXT = "SU"
_MAX_BYTES = 2**62
_UNSUSPICIOUS = 2**30  # bytes that any file may decompress to
_MAX_RATIO = 500  # of declared to stored bytes; deflate reaches 1,030 with constant values


def bytes_of(shape: Sequence[int], dtype: DTypeLike, where: str) -> int:
    """The number of bytes of an array.

    Args:
        shape: Declared shape.
        dtype: Declared dtype.
        where: Start of an error message.

    Raises:
        UserError: The shape has a negative extent, or is larger than an address space.
    """
    size = prod(shape) * np.dtype(dtype).itemsize
    largest = prod(max(extent, 1) for extent in shape) * np.dtype(dtype).itemsize
    if min(shape, default=0) < 0 or largest > _MAX_BYTES:
        raise UserError(f"{where}: declares an impossible shape, {tuple(shape)}; write the file again")
    return size


def check_dtype(dtype: DTypeLike, where: str, kinds: str = NUMBERS + TEXT) -> None:
    """Check that values are numbers or text, never Python objects or records.

    Raises:
        UserError: The dtype is of another kind.
    """
    found = np.dtype(dtype)
    if found.hasobject:
        raise UserError(
            f"{where}: must contain numbers, got pickled Python objects, which can run code; "
            "convert the array to numbers of one shape, and save it again"
        )
    if found.kind not in kinds or found.itemsize == 0:
        raise UserError(f"{where}: must contain numbers, got {found}; convert the array")


def check_ratio(declared: int, stored: int, where: str) -> None:
    """Refuse a file of a few bytes that declares an array of many gigabytes.

    Args:
        declared: Bytes of the array.
        stored: Bytes in the file, compressed.
        where: Start of an error message.

    Raises:
        UserError: The ratio is absurd.
    """
    if declared > _UNSUSPICIOUS and declared > _MAX_RATIO * stored:
        raise UserError(
            f"{where}: declares {amount(declared)}, but {amount(stored)} are stored, less than one byte in "
            f"{_MAX_RATIO}; the file is damaged, or made to exhaust the memory or disk"
        )


def amount(size: int) -> str:
    """Return a number of bytes in a readable unit."""
    if size < 2**20:
        return f"{size:,} bytes"
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.1f} MiB"
