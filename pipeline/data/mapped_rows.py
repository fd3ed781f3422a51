"""Ask the system to read rows of a memory-mapped file in the background."""

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LARGE = 2**28  # bytes; smaller files stay in the page cache once they have been read


def request(images: Any, places: NDArray[np.int64]) -> None:
    """Request rows that will be read, all at once: reading a row would wait for the disk before it asks for the next.

    Args:
        images: (n, *grid, channels) values. If they are not in a large mapped file, nothing is requested.
        places: Indices of the rows.
    """
    mapped = _map_of(images)
    if mapped is None or images.nbytes < _LARGE:
        return
    start = images.ctypes.data - np.frombuffer(mapped, np.uint8).ctypes.data
    size = images.strides[0]
    for place in places.ravel().tolist():
        first = start + place * size
        page = first - first % mmap.PAGESIZE
        mapped.madvise(mmap.MADV_WILLNEED, page, first + size - page)


def _map_of(images: Any) -> mmap.mmap | None:
    """The map that contains an array whose rows are contiguous; None if it is in none."""
    if not isinstance(images, np.ndarray) or not images.flags.c_contiguous:
        return None
    base = images.base
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None
