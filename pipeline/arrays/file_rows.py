"""Rows of an array in an uncompressed file, read when they are needed.

Nothing is memory-mapped: reading a mapped file that was truncated kills the process.
"""

import os
import weakref
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays.gather import ChunkedRows, rows_per_read
from pipeline.arrays.npy import REMEDY, ArrayLayout, check_complete, read_npy_header
from pipeline.arrays.size import bytes_of
from pipeline.errors import UserError


class FileRows(ChunkedRows):
    """An array in a file as rows. The file must not change while the rows are used.

    Attributes:
        shape: Shape of the array.
        dtype: Dtype of the values.
    """

    def __init__(self, file: IO[bytes], layout: ArrayLayout, present: int, where: str) -> None:
        """Remember where the array is, and the state of the file. No value is read.

        Args:
            file: An open file, which may be closed afterwards.
            layout: Where the array is; the offset counts from the start of the file.
            present: Number of bytes of values that the file contains.
            where: Start of an error message.

        Raises:
            UserError: The file contains fewer or more values than the header declares.
        """
        check_complete(layout, present, where)
        self.shape, self.dtype = layout.shape, layout.dtype
        self._layout, self._where = layout, where
        self._step = rows_per_read(bytes_of(layout.shape[1:], layout.dtype, where), 1)
        self._chunk_rows = self._step if layout.column_major else 1  # near rows are read together
        self._file = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._file)
        self._state = self._current_state()

    def _read(self, first: int, last: int) -> NDArray[Any]:
        rest, size = self.shape[1:], self.dtype.itemsize
        if self._layout.column_major:
            read = np.empty((*reversed(rest), last - first), self.dtype)
            for number, line in enumerate(read.reshape(prod(rest), last - first)):
                self._fill(line, (number * len(self) + first) * size)
            read = read.T
        else:
            read = np.empty((last - first, *rest), self.dtype)
            self._fill(read, first * prod(rest) * size)
        if self._current_state() != self._state:
            raise self._changed()
        return read

    def _fill(self, values: NDArray[Any], start: int) -> None:
        """Read contiguous values from a position that counts from the first value of the array."""
        if not values.size:
            return
        content: Any = values.reshape(-1).view(np.uint8)
        done = 0
        while done < len(content):
            try:
                count = os.preadv(self._file, [content[done:]], self._layout.offset + start + done)
            except OSError as error:
                raise UserError(f"{self._where}: cannot be read: {error.strerror or error}; check the file") from None
            if not count:
                raise self._changed()
            done += count

    def _current_state(self) -> tuple[int, int]:
        facts = os.fstat(self._file)
        return facts.st_size, facts.st_mtime_ns

    def _changed(self) -> UserError:
        return UserError(f"{self._where}: must not change while it is read; wait until it is complete")


def open_npy(path: Path, where: str) -> FileRows:
    """Open a .npy file. No value is read.

    Args:
        path: The file.
        where: Start of an error message.

    Raises:
        UserError: The file is missing, not a .npy file, truncated, or contains Python objects.
    """
    try:
        if not path.is_file():  # a named pipe would block
            raise UserError(f"{where}: must be a file, got {'another kind' if path.exists() else 'nothing'}; {REMEDY}")
        with path.open("rb") as file:
            layout = read_npy_header(file, where)
            return FileRows(file, layout, os.fstat(file.fileno()).st_size - layout.offset, where)
    except OSError as error:
        raise UserError(f"{where}: cannot be read: {error.strerror or error}; check the file") from None
