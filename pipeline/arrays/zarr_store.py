"""Arrays of a Zarr group as rows, read in blocks. Requires the package zarr."""

import itertools
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays.gather import ChunkedRows, rows_per_read
from pipeline.arrays.size import TEXT, amount, bytes_of, check_dtype, check_ratio
from pipeline.errors import UserError, message_of

MAX_CHUNK = 2**28  # bytes
_OVERHEAD = 2**12  # bytes that codecs may add to a chunk
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
        except _DAMAGES as error:
            raise UserError(f"{where}: cannot be read: {message_of(error)}; write the group again") from None
        if not shape:
            raise UserError(f"{where}: must be an array, got a single value")
        text = dtype.kind == "T"  # of variable length
        if not text:
            check_dtype(dtype, where)
            check_ratio(bytes_of(shape, dtype, where), stored, where)
            chunk = bytes_of(chunks, dtype, where)
            if chunk > MAX_CHUNK:
                raise UserError(
                    f"{where}: chunks must be at most {amount(MAX_CHUNK)}, got {amount(chunk)}, which must be "
                    "decompressed as a whole for each row; write it again with chunks of a few rows"
                )
        rows = ZarrRows(array, self._folder / name, where)
        if text:
            return np.array(rows[:].tolist(), dtype=str)
        return rows[:] if dtype.kind in TEXT else rows


class ZarrRows(ChunkedRows):
    """A Zarr array as rows.

    Attributes:
        shape: Shape of the array.
        dtype: Dtype of the values.
    """

    def __init__(self, array: Any, folder: Path, where: str) -> None:
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)
        self._folder, self._stored = folder, tuple(array.shards or array.chunks)  # shape of the content of one file
        self._array, self._where, self._chunk_rows = array, where, int(array.chunks[0])
        self._step = rows_per_read(bytes_of(self.shape[1:], self.dtype, where), self._chunk_rows)

    def _read(self, first: int, last: int) -> NDArray[Any]:
        try:
            if self.dtype.kind != "T":
                self._check_files(first, last)
            return np.asarray(self._array[first:last])
        except _DAMAGES as error:
            raise UserError(
                f"{self._where}: rows {first} to {last - 1} cannot be read: {message_of(error)}; the store is "
                "damaged, write it again"
            ) from None

    def _check_files(self, first: int, last: int) -> None:
        """Refuse files that are larger than their content: Zarr decompresses a file without limit."""
        limit = 2 * bytes_of(self._stored, self.dtype, self._where) + _OVERHEAD
        rows, *others = self._stored
        ranges = [range(first // rows, (last - 1) // rows + 1)]
        ranges += [range(-(-extent // step)) for extent, step in zip(self.shape[1:], others, strict=True)]
        for place in itertools.product(*ranges):
            path = self._folder / self._array.metadata.encode_chunk_key(place)
            if os.path.exists(path) and os.path.getsize(path) > limit:
                raise UserError(
                    f"{self._where}: a file of rows {first} to {last - 1} must have at most {amount(limit)}, as its "
                    f"content is declared, got {amount(os.path.getsize(path))}; the store is damaged, write it again"
                )
