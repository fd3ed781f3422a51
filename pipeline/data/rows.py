"""Samples of a source that are read when they are needed, so that a source may be larger than memory."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

BLOCK = 16 * 1024**2  # bytes that are read at once


class Rows(Protocol):
    """Samples along the first axis: a NumPy array, a memory map, or anything else that reads rows on demand."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of samples, then the shape of a sample."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the values."""

    def __len__(self) -> int:
        """Number of samples."""

    def __getitem__(self, chosen: Any, /) -> Any:
        """Read samples as an array.

        Args:
            chosen: A slice, or (n,) int64 indices in ascending order.
        """


Part: TypeAlias = tuple[Rows, NDArray[np.int64]]  # samples and their class indices


@dataclass(frozen=True)
class MappedRows:
    """Rows to which a function is applied when they are read.

    Attributes:
        rows: The rows as they are stored.
        function: Function of an array (n, …) that returns an array of the same length.
        sample_shape: Shape of a sample after the function.
        dtype: Dtype after the function.
    """

    rows: Rows
    function: Callable[[NDArray[Any]], NDArray[Any]]
    sample_shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of samples, then the shape of a sample."""
        return len(self.rows), *self.sample_shape

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.rows)

    def __getitem__(self, chosen: Any, /) -> NDArray[Any]:
        """Read samples as an array."""
        return self.function(self.rows[chosen])


@dataclass(frozen=True)
class SelectedRows:
    """Some of the rows of another object.

    Attributes:
        rows: The rows to select from.
        places: (n,) int64 indices of the selected rows, ascending.
    """

    rows: Rows
    places: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of samples, then the shape of a sample."""
        return len(self.places), *self.rows.shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the values."""
        return self.rows.dtype

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.places)

    def __getitem__(self, chosen: Any, /) -> Any:
        """Read samples as an array."""
        return self.rows[self.places[chosen]]


@dataclass(frozen=True)
class JoinedRows:
    """The rows of one object, then those of another one with the same shape and dtype."""

    first: Rows
    second: Rows

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of samples, then the shape of a sample."""
        return len(self), *self.first.shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the values."""
        return self.first.dtype

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.first) + len(self.second)

    def __getitem__(self, chosen: Any, /) -> NDArray[Any]:
        """Read samples as an array."""
        places = np.arange(len(self))[chosen]
        read = np.empty((*places.shape, *self.shape[1:]), self.dtype)
        in_first = places < len(self.first)
        read[in_first] = self.first[places[in_first]]
        read[~in_first] = self.second[places[~in_first] - len(self.first)]
        return read


def blocks(rows: Rows) -> Iterator[NDArray[Any]]:
    """Yield all rows in order, in contiguous arrays of at most `BLOCK` bytes, or of one row if a row is larger.

    While the caller uses a block, a thread reads the next one.
    """
    size = _rows_of_block(rows)

    def read(start: int) -> NDArray[Any] | None:
        return np.ascontiguousarray(rows[start : start + size]) if start < len(rows) else None

    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(read, 0)
        for start in range(size, len(rows) + size, size):
            block = following.result()
            following = thread.submit(read, start)
            if block is not None:
                yield block


def block_count(rows: Rows) -> int:
    """Number of blocks."""
    return -(-len(rows) // _rows_of_block(rows))


def _rows_of_block(rows: Rows) -> int:
    row = rows.dtype.itemsize * int(np.prod(rows.shape[1:], dtype=np.int64))
    return max(1, BLOCK // max(1, row))
