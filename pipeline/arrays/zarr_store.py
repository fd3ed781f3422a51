"""Arrays of a Zarr group as rows, read in blocks. Requires the package zarr."""

import itertools
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays.gather import ChunkedRows, rows_per_read
from pipeline.arrays.size import TEXT, amount, bytes_of, check_dtype, check_ratio
from pipeline.arrays.zarr_chunks import ChunkFiles, check_metadata, chunk_files
from pipeline.errors import UserError, message_of

MAX_CHUNK = 2**28  # bytes
_OVERHEAD = 2**12  # bytes that codecs may add to a chunk
_MAX_TEXT = 1000  # bytes of a label
_DAMAGES = (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)


class ZarrArrays:
    """The arrays of a Zarr group, by name.

    Attributes:
        names: Names of the arrays.
    """

    def __init__(self, folder: Path, where: str) -> None:
        """Open the group.

        Args:
            folder: A folder with the group, in version 2 or 3 of the format.
            where: Start of an error message.

        Raises:
            UserError: The package is not installed, the folder is missing, or it is not a Zarr group.
        """
        if find_spec("zarr") is None:
            raise UserError(f"{where}: requires the package zarr; install it with `make extras EXTRAS=zarr`")
        import zarr

        self._where, self._folder = where, folder
        if not folder.is_dir():
            raise UserError(f"{where}: no such folder; pass the folder of a Zarr group")
        try:
            check_metadata(folder)
            self._group = zarr.open_group(str(folder.resolve()), mode="r")
            self.names = tuple(sorted(self._group.array_keys()))
        except _DAMAGES as error:
            raise UserError(
                f"{where}: must be a Zarr group: {message_of(error)}; save the arrays in one group"
            ) from None

    def array(self, name: str) -> "ZarrRows | NDArray[Any]":
        """The rows of an array, or an array of text.

        Raises:
            UserError: The array is damaged, has chunks that are too large, is absurdly large, or contains objects.
        """
        where = f"{self._where}: {name}"
        try:
            array: Any = self._group[name]
            shape, chunks, dtype = tuple(array.shape), tuple(array.chunks), np.dtype(array.dtype)
            stored = int(array.nbytes_stored())
            files = chunk_files(array.metadata.to_dict())
        except _DAMAGES as error:
            raise UserError(f"{where}: cannot be read: {message_of(error)}; write the group again") from None
        if not shape:
            raise UserError(f"{where}: must be an array, got a single value")
        text = dtype.kind == "T"  # of variable length; a value takes as much memory as its reference, and its text
        if not text:
            check_dtype(dtype, where)
        check_ratio(bytes_of(shape, dtype, where), stored, where)
        chunk = bytes_of(chunks, dtype, where)
        if chunk > MAX_CHUNK:
            raise UserError(
                f"{where}: chunks must be at most {amount(MAX_CHUNK)}, got {amount(chunk)}, which must be "
                "decompressed as a whole for each row; write it again with chunks of a few rows"
            )
        rows = ZarrRows(array, self._folder / name, files, where)
        if text:
            return np.array(rows[:].tolist(), dtype=str)
        return rows[:] if dtype.kind in TEXT else rows


class ZarrRows(ChunkedRows):
    """A Zarr array as rows.

    Attributes:
        shape: Shape of the array.
        dtype: Dtype of the values.
    """

    def __init__(self, array: Any, folder: Path, files: ChunkFiles, where: str) -> None:
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)
        self._folder, self._files = folder, files
        self._stored = tuple(array.shards or array.chunks)  # shape of the content of one file
        self._array, self._where, self._chunk_rows = array, where, int(array.chunks[0])
        self._max_file, self._max_chunk = self._limit(self._stored), self._limit(tuple(array.chunks))
        self._values = prod(array.chunks)
        self._checked: set[tuple[int, ...]] = set()
        self._step = rows_per_read(bytes_of(self.shape[1:], self.dtype, where), self._chunk_rows)

    def _read(self, first: int, last: int) -> NDArray[Any]:
        try:
            self._check_files(first, last)
            return np.asarray(self._array[first:last])
        except _DAMAGES as error:
            raise UserError(
                f"{self._where}: rows {first} to {last - 1} cannot be read: {message_of(error)}; the store is "
                "damaged, write it again"
            ) from None

    def _check_files(self, first: int, last: int) -> None:
        """Refuse files that are not plain, or have or expand to more bytes than their content is declared to have."""
        rows, *others = self._stored
        ranges = [range(first // rows, (last - 1) // rows + 1)]
        ranges += [range(-(-extent // step)) for extent, step in zip(self.shape[1:], others, strict=True)]
        for place in itertools.product(*ranges):
            if place not in self._checked:
                name = self._array.metadata.encode_chunk_key(place)
                self._files.check(self._folder, name, self._max_file, self._max_chunk, self._values)
                self._checked.add(place)

    def _limit(self, shape: tuple[int, ...]) -> int:
        """Number of bytes that values of a shape may take in a file, compressed or not."""
        size = prod(shape) * _MAX_TEXT if self.dtype.kind == "T" else bytes_of(shape, self.dtype, self._where)
        return 2 * size + _OVERHEAD
