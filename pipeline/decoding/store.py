"""Decoded samples of files, kept so that an unchanged file is not decoded again, even after a kill.

A store is a folder with two files, which grow until less than half of them is used. `samples.bin` contains the values,
`index.txt` one line for each decoded file: the SHA-256 of its content, the place and the checksum of its samples, and
their form. A line is written after its samples; what a kill left incomplete is ignored.
"""

import fcntl
import json
import os
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError

_SAMPLES, _INDEX = "samples.bin", "index.txt"
_BUFFER = 1024**2  # bytes of samples that are written at once
_FORMS = 4096  # different forms that are kept in memory, which most files of a source share


class Packed(NamedTuple):
    """Samples of one file, ready to be stored.

    Attributes:
        content: The values.
        checksum: CRC-32 of the values.
        form: Shape, dtype and what the decoder reported, as JSON.
    """

    content: bytes
    checksum: int
    form: str


def pack(samples: NDArray[Any], facts: dict[str, Any]) -> Packed:
    """Pack the samples of a file.

    Args:
        samples: (samples, *grid, channels) values.
        facts: What the decoder reported; JSON values.
    """
    content = samples.tobytes()
    return Packed(content, zlib.crc32(content), _form_text(samples.shape, samples.dtype, facts))


def _form_text(shape: tuple[int, ...], dtype: np.dtype[Any], facts: dict[str, Any]) -> str:
    return json.dumps([shape, dtype.str, facts])


class Stored(NamedTuple):
    """Samples of one file in the store.

    Attributes:
        offset: Position of the first byte in samples.bin.
        checksum: CRC-32 of the values.
        shape: Number of samples, then the shape of a sample.
        dtype: Dtype of the values.
        size: Number of bytes.
        facts: What the decoder reported about the file. Files of the same form share this object.
    """

    offset: int
    checksum: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    size: int
    facts: dict[str, Any]


@lru_cache(_FORMS)
def _form(text: str) -> tuple[tuple[int, ...], np.dtype[Any], int, dict[str, Any]]:
    """Shape, dtype, number of bytes, and what the decoder reported."""
    shape, name, facts = json.loads(text)
    dtype = np.dtype(name)
    return tuple(shape), dtype, prod(shape) * dtype.itemsize, facts


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
        self._samples = (self.folder / _SAMPLES).open("ab", _BUFFER)
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
        for line in content[:complete].decode(errors="replace").splitlines():
            try:
                digest, offset, checksum, form = line.split(" ", 3)
                stored = Stored(int(offset), int(checksum), *_form(form))
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

    def add(self, digest: str, packed: Packed) -> None:
        """Add the samples of a file, unless they are already there.

        Args:
            digest: SHA-256 of the file's content.
            packed: Its samples.
        """
        if digest in self.found:
            return
        self.found[digest] = Stored(self._end, packed.checksum, *_form(packed.form))
        self._samples.write(packed.content)
        self._waiting.append(f"{digest} {self._end} {packed.checksum} {packed.form}")
        self._end += len(packed.content)

    def flush(self) -> None:
        """Write the samples that are buffered, then their lines of the index."""
        self._samples.flush()
        self._index.write("".join(f"{line}\n" for line in self._waiting).encode())
        self._index.flush()
        self._waiting.clear()

    def remove_unused(self, digests: Collection[str]) -> None:
        """Keep only the samples of some files, if they are less than half of the store.

        A kill in between leaves no index, so that the files are decoded again.

        Args:
            digests: The files whose samples are kept.
        """
        self.flush()
        kept = {digest: self.found[digest] for digest in digests}
        if self._end <= 2 * sum(stored.size for stored in kept.values()):
            return
        new = self.folder / f"{_SAMPLES}.new"
        new.unlink(missing_ok=True)
        samples = new.open("ab", _BUFFER)
        fcntl.flock(samples, fcntl.LOCK_EX | fcntl.LOCK_NB)
        end, index = 0, []
        with (self.folder / _SAMPLES).open("rb") as old:
            for digest, stored in kept.items():
                old.seek(stored.offset)
                samples.write(old.read(stored.size))
                form = _form_text(stored.shape, stored.dtype, stored.facts)
                index.append(f"{digest} {end} {stored.checksum} {form}\n")
                kept[digest] = stored._replace(offset=end)
                end += stored.size
        samples.flush()
        self._index.close()
        (self.folder / _INDEX).unlink()
        new.replace(self.folder / _SAMPLES)
        self._samples.close()
        self._index = (self.folder / _INDEX).open("ab")
        self._samples, self._end, self.found = samples, end, kept
        self._index.write("".join(index).encode())
        self._index.flush()

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
        self._values = np.asarray(np.memmap(path, np.uint8, "r"))  # slices of an array are faster than those of a map

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
        return values.view(stored.dtype).reshape(stored.shape)


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
        self.dtype = stored[0].dtype

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
