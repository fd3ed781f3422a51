"""Datasets of an HDF5 file as rows, read in blocks.

A file from elsewhere can name other files, run plug-ins and expand without limit, so only plain datasets are read: hard
links, contiguous or chunked storage in this file, and HDF5's own filters gzip, lzf, shuffle and fletcher32.
"""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays.gather import ChunkedRows, rows_per_read
from pipeline.arrays.size import TEXT, amount, bytes_of, check_dtype, check_ratio
from pipeline.errors import UserError, message_of

if TYPE_CHECKING:
    import h5py

MAX_CHUNK = 2**28  # bytes
_CACHE = 2**26
_GZIP, _LZF = 1, 32000
_FILTERS = {_GZIP: "gzip", 2: "shuffle", 3: "fletcher32", _LZF: "lzf"}
_MAX_RATIO = 1032  # of gzip
_OVERHEAD = 2**12  # bytes that filters may add to a chunk
_MAX_TEXT = 1000  # characters of a label
_TEXT_BLOCK = 256


class Hdf5Arrays:
    """The datasets at the top of an HDF5 file, by name.

    Attributes:
        names: Names of the datasets.
    """

    def __init__(self, path: Path, where: str) -> None:
        """Open the file.

        Args:
            path: The file.
            where: Start of an error message.

        Raises:
            UserError: The file is missing, truncated, or not HDF5.
        """
        import h5py

        self._where = where
        if not path.is_file():
            raise UserError(f"{where}: no such file; pass the path of an HDF5 file")
        try:
            self._file = h5py.File(path, "r", locking="best-effort", rdcc_nbytes=_CACHE)
            self.names = tuple(str(name) for name in self._file)
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(
                f"{where}: must be a complete HDF5 file: {message_of(error)}; write it again, for example with h5py"
            ) from None

    def array(self, name: str) -> "Hdf5Rows | NDArray[Any]":
        """The rows of a dataset, or an array of text.

        Raises:
            UserError: The entry is not a dataset, is a link, is stored in other files, uses unsupported filters, is
                truncated or absurdly large, or contains objects.
        """
        import h5py

        where = f"{self._where}: {name}"
        link = self._file.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise UserError(
                f"{where}: must be a dataset in this file, got a link, which can lead to other files; copy the data"
            )
        try:
            dataset = self._file[name]
        except (KeyError, OSError, RuntimeError, ValueError, TypeError) as error:
            raise UserError(f"{where}: cannot be read: {message_of(error)}; write the file again") from None
        if not isinstance(dataset, h5py.Dataset):
            raise UserError(f"{where}: must be a dataset, got a group; move its datasets to the top of the file")
        variable_text = h5py.check_string_dtype(dataset.dtype) is not None
        if not variable_text:
            check_dtype(dataset.dtype, where)
        _check_storage(dataset, where)
        if variable_text:
            return _read_text(dataset, where)
        rows = Hdf5Rows(dataset, where)
        return rows[:] if dataset.dtype.kind in TEXT else rows


class Hdf5Rows(ChunkedRows):
    """A dataset as rows.

    Attributes:
        shape: Shape of the dataset.
        dtype: Dtype of the values.
    """

    def __init__(self, dataset: "h5py.Dataset", where: str) -> None:
        self.shape: tuple[int, ...] = tuple(dataset.shape)
        self.dtype: np.dtype[Any] = dataset.dtype
        self._dataset, self._where = dataset, where
        self._checked: set[int] = set()
        row = bytes_of(self.shape[1:], self.dtype, where)
        self._chunk_rows = dataset.chunks[0] if dataset.chunks else 1
        self._step = rows_per_read(row, self._chunk_rows)
        self._filters = _filters(dataset)

    def _read(self, first: int, last: int) -> NDArray[Any]:
        try:
            if self._filters and last > first:
                self._check_chunks(first, last)
            return np.asarray(self._dataset[first:last])
        except (OSError, RuntimeError, ValueError, zlib.error) as error:
            raise UserError(
                f"{self._where}: rows {first} to {last - 1} cannot be read: {message_of(error)}; the file is damaged, "
                "write it again"
            ) from None

    def _check_chunks(self, first: int, last: int) -> None:
        """Check that the chunks of these rows do not expand beyond a chunk: HDF5 sets no limit of its own."""
        chunks = self._dataset.chunks
        size = bytes_of(chunks, self.dtype, self._where)
        for number in range(first // chunks[0], (last - 1) // chunks[0] + 1):
            if number in self._checked:
                continue
            self._checked.add(number)
            ranges = [range(0, extent, step) for extent, step in zip(self.shape[1:], chunks[1:], strict=True)]
            for corner in np.ndindex(*(len(each) for each in ranges)):
                offset = (number * chunks[0], *(each[place] for each, place in zip(ranges, corner, strict=True)))
                self._check_chunk(offset, size)

    def _check_chunk(self, offset: tuple[int, ...], size: int) -> None:
        info = self._dataset.id.get_chunk_info_by_coord(offset)
        if info.size <= size + size // 8 + _OVERHEAD:
            if _GZIP not in self._filters or info.filter_mask & 1 << self._filters.index(_GZIP):
                return  # lzf is harmless; the bit marks a chunk that gzip could not make smaller
            if info.size * _MAX_RATIO <= _CACHE:
                return
            _, content = self._dataset.id.read_direct_chunk(offset)
            if not _expands_beyond(content, size + _OVERHEAD):
                return
        raise UserError(
            f"{self._where}: the chunk at row {offset[0]} expands beyond its declared {amount(size)}; the file is "
            "damaged, or made to exhaust the memory"
        )


def _expands_beyond(content: bytes, size: int) -> bool:
    """Whether gzipped content has more bytes than `size`. No more than 1 MiB of it is in memory."""
    stream, total = zlib.decompressobj(), 0
    while content and not stream.eof:
        total += len(stream.decompress(content, 2**20))
        content = stream.unconsumed_tail
        if total > size:
            return True
    return False


def _filters(dataset: "h5py.Dataset") -> list[int]:
    """Numbers of the filters of a dataset."""
    created = dataset.id.get_create_plist()
    return [int(created.get_filter(number)[0]) for number in range(created.get_nfilters())]


def _check_storage(dataset: "h5py.Dataset", where: str) -> None:
    if dataset.shape is None or not dataset.shape:
        raise UserError(f"{where}: must be an array, got {'nothing' if dataset.shape is None else 'a single value'}")
    if dataset.is_virtual or dataset.external:
        kind = "a virtual dataset" if dataset.is_virtual else "external storage"
        raise UserError(f"{where}: must be stored in this file, got {kind}, which reads other files; copy the data")
    filters = _filters(dataset)
    foreign = [str(each) for each in filters if each not in _FILTERS]
    if foreign or len(set(filters)) < len(filters):
        raise UserError(
            f"{where}: must use only the filters {', '.join(_FILTERS.values())}, each once, got "
            f"{f'filter {foreign[0]}' if foreign else 'one of them twice'}; write it with compression='gzip'"
        )
    declared = bytes_of(dataset.shape, dataset.dtype, where)
    stored = int(dataset.id.get_storage_size())
    if dataset.chunks is None and stored < declared:
        raise UserError(
            f"{where}: declares shape {dataset.shape} of {dataset.dtype}, which is {amount(declared)}, but "
            f"{amount(stored)} are stored; the file is truncated or damaged, write it again"
        )
    check_ratio(declared, stored, where)
    chunk = bytes_of(dataset.chunks or (), dataset.dtype, where)
    if chunk > MAX_CHUNK:
        raise UserError(
            f"{where}: chunks must be at most {amount(MAX_CHUNK)}, got {amount(chunk)}, which must be decompressed "
            "as a whole for each row; write it again with chunks of a few rows"
        )


def _read_text(dataset: "h5py.Dataset", where: str) -> NDArray[np.str_]:
    """Read strings, a few at a time, since many rows can share one long string."""
    if len(dataset.shape) != 1:
        raise UserError(f"{where}: text must have one axis, got shape {dataset.shape}; save a list of names")
    found: list[str] = []
    for first in range(0, len(dataset), _TEXT_BLOCK):
        block: Sequence[Any] = dataset[first : first + _TEXT_BLOCK]
        texts = [each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in block]
        longest = max(map(len, texts))
        if longest > _MAX_TEXT:
            raise UserError(f"{where}: names must have at most {_MAX_TEXT:,} characters, got {longest:,}; shorten them")
        found += texts
    return np.array(found, dtype=str)
