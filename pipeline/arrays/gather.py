"""Rows at ascending indices of an array that is stored in chunks, with few reads."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAX_READ = 2**25  # bytes
_NEAR = 2**18  # bytes between two rows that one read covers


def rows_per_read(row_bytes: int, chunk_rows: int) -> int:
    """The number of rows that one read covers: whole chunks, within 32 MiB unless one row is larger.

    Args:
        row_bytes: Bytes of a row.
        chunk_rows: Rows of a chunk; 1 if the array has no chunks.
    """
    affordable = max(1, _MAX_READ // max(1, row_bytes))
    return max(chunk_rows, affordable - affordable % chunk_rows) if chunk_rows <= affordable else affordable


def gather(
    read: Callable[[int, int], NDArray[Any]],
    indices: NDArray[np.int64],
    step: int,
    chunk_rows: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
) -> NDArray[Any]:
    """Read rows at ascending indices. Rows of one chunk, and others that are near each other, are read together.

    Args:
        read: Returns the rows from a first to before a last index.
        indices: (n,) ascending indices.
        step: Maximum number of rows of a read; see `rows_per_read`.
        chunk_rows: Rows of a chunk; 1 if the array has no chunks.
        shape: Shape of a row.
        dtype: Dtype of the values.

    Returns:
        (n, *shape) rows.
    """
    found = np.empty((len(indices), *shape), dtype)
    if not len(indices):
        return found
    near = max(chunk_rows, _NEAR // max(1, found.nbytes // len(indices)))
    new = (np.diff(indices // step, prepend=-1) != 0) | (np.diff(indices, prepend=-1) > near)
    starts = np.flatnonzero(new)
    for start, end in zip(starts, [*starts[1:], len(indices)], strict=True):
        first, last = int(indices[start]), int(indices[end - 1]) + 1
        found[start:end] = read(first, last)[indices[start:end] - first]
    return found


class ChunkedRows:
    """Rows of an array that is stored in chunks. A subclass sets the attributes, and reads ranges of rows."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    _step: int  # rows that are read at once
    _chunk_rows: int

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any, /) -> NDArray[Any]:
        """Read rows by a slice with step 1, or by ascending indices.

        Raises:
            UserError: A chunk is damaged, or expands beyond its size.
        """
        if isinstance(key, slice):
            first, last, _ = key.indices(len(self))
            return self._read(first, max(first, last))
        return gather(self._read, np.asarray(key, np.int64), self._step, self._chunk_rows, self.shape[1:], self.dtype)

    def _read(self, first: int, last: int) -> NDArray[Any]:
        raise NotImplementedError
