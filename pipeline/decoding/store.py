"""Decoded samples of files, kept so that an unchanged file is not decoded again, even after a kill.

A store is a folder with two files that only grow. `samples.bin` contains the values, `index.jsonl` one line for each
decoded file: the SHA-256 of its content, and the place, shape and checksum of its samples. A line is written after its
samples; what a kill left incomplete is ignored.
"""

import fcntl
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError

_SAMPLES, _INDEX = "samples.bin", "index.jsonl"


class Stored(NamedTuple):
    """Samples of one file in the store.

    Attributes:
        offset: Position of the first byte in samples.bin.
        shape: Number of samples, then the shape of a sample.
        dtype: Dtype of the values.
        checksum: CRC-32 of the values.
        facts: What the decoder reported about the file.
    """

    offset: int
    shape: tuple[int, ...]
    dtype: str
    checksum: int
    facts: dict[str, Any]

    @property
    def size(self) -> int:
        """Number of bytes."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass
class DecodeStore:
    """The store in a folder. Only one process can open it at a time.

    Attributes:
        folder: The folder of the store.
        found: Samples by the SHA-256 of their file.
    """

    folder: Path
    found: dict[str, Stored] = field(default_factory=dict)
    _waiting: list[str] = field(default_factory=list)  # lines of the index whose samples are not yet written

    def __enter__(self) -> Self:
        """Open the store, and create it if it does not exist.

        Raises:
            UserError: Another process uses the store.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._samples = (self.folder / _SAMPLES).open("ab")
        try:
            fcntl.flock(self._samples, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._samples.close()
            raise UserError(
                f"{self.folder}: must be used by one process at a time, and another one is decoding files; wait for it"
            ) from None
        self._end = self._samples.seek(0, os.SEEK_END)
        self._read_index()
        self._index = (self.folder / _INDEX).open("ab")
        return self

    def _read_index(self) -> None:
        """Read the complete lines of the index, and cut off an incomplete one."""
        path = self.folder / _INDEX
        content = path.read_bytes() if path.exists() else b""
        complete = content.rfind(b"\n") + 1
        if complete != len(content):
            os.truncate(path, complete)
        for line in content[:complete].splitlines():
            try:
                digest, offset, shape, dtype, checksum, facts = json.loads(line)
                stored = Stored(offset, tuple(shape), dtype, checksum, facts)
            except (TypeError, ValueError):  # damaged, for example by a power failure
                continue
            if stored.offset + stored.size <= self._end:
                self.found[digest] = stored

    def __exit__(self, *_: object) -> None:
        """Write what is buffered, and let other processes use the store."""
        try:
            self.flush()
        finally:
            self._index.close()
            self._samples.close()

    def add(self, digest: str, samples: NDArray[Any], facts: dict[str, Any]) -> None:
        """Add the samples of a file, unless they are already there.

        Args:
            digest: SHA-256 of the file's content.
            samples: (samples, *grid, channels) values.
            facts: What the decoder reported; JSON values.
        """
        if digest in self.found:
            return
        values = np.ascontiguousarray(samples)
        stored = Stored(self._end, values.shape, values.dtype.str, zlib.crc32(values.data), facts)
        self._samples.write(values.data)
        self._end += stored.size
        self.found[digest] = stored
        self._waiting.append(json.dumps([digest, *stored]))

    def flush(self) -> None:
        """Write the samples that are buffered, then their lines of the index."""
        self._samples.flush()
        self._index.write("".join(f"{line}\n" for line in self._waiting).encode())
        self._index.flush()
        self._waiting.clear()

    def rows(self, digests: Sequence[str]) -> "StoredRows":
        """The samples of files, in this order. The store must have been closed."""
        return StoredRows(self.folder / _SAMPLES, [self.found[digest] for digest in digests])

    def files(self, digests: Sequence[str]) -> "StoredFiles":
        """The samples of each file by itself. The store must have been closed."""
        return StoredFiles(self.folder / _SAMPLES, [self.found[digest] for digest in digests])


class StoredFiles:
    """Samples of files in a store, which may differ in shape, read one file at a time."""

    def __init__(self, path: Path, stored: Sequence[Stored]) -> None:
        """Map the file.

        Args:
            path: The file with the values.
            stored: Where the samples of each file are.
        """
        self._path, self._stored = path, stored
        self._values = np.memmap(path, np.uint8, "r")

    def __len__(self) -> int:
        """Number of files."""
        return len(self._stored)

    def __getitem__(self, number: int, /) -> NDArray[Any]:
        """The samples of a file (samples, ...).

        Raises:
            UserError: The stored values are damaged.
        """
        stored = self._stored[number]
        values = self._values[stored.offset : stored.offset + stored.size]
        if zlib.crc32(values.data) != stored.checksum:
            raise UserError(f"{self._path.parent}: is damaged; remove this folder, and the files are decoded again")
        return values.view(np.dtype(stored.dtype)).reshape(stored.shape)


class StoredRows:
    """Samples in a store, all of the same shape and dtype, read on demand."""

    def __init__(self, path: Path, stored: Sequence[Stored]) -> None:
        """Map the file.

        Args:
            path: The file with the values.
            stored: Where the samples of each file are; at least one.
        """
        counts = np.array([each.shape[0] for each in stored])
        self._files = StoredFiles(path, stored)
        self._ends = np.cumsum(counts)
        self.shape = (int(self._ends[-1]), *stored[0].shape[1:])
        self.dtype = np.dtype(stored[0].dtype)

    def __len__(self) -> int:
        """Number of samples."""
        return self.shape[0]

    def __getitem__(self, chosen: Any, /) -> NDArray[Any]:
        """Read samples.

        Args:
            chosen: A slice, or (n,) int64 indices.

        Raises:
            UserError: The stored values are damaged.
        """
        places = np.arange(len(self))[chosen]
        read = np.empty((len(places), *self.shape[1:]), self.dtype)
        files = np.searchsorted(self._ends, places, side="right")
        last, samples = -1, read[:0]
        for place, (file, sample) in enumerate(zip(files.tolist(), places.tolist(), strict=True)):
            if file != last:
                last, samples = file, self._files[file]
            read[place] = samples[sample - int(self._ends[file]) + len(samples)]
        return read
