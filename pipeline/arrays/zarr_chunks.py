"""Check the files of a Zarr array before Zarr reads them: it waits for pipes, and decompresses without limit."""

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

from pipeline.arrays.size import amount

_METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")
_MAX_METADATA = 2**26  # bytes
_STREAMS = {"gzip": "gzip", "zlib": "gzip", "zstd": "zstd"}  # codecs of pyarrow
_SIZES = {"blosc": slice(4, 8), "lz4": slice(0, 4)}  # where a chunk states its size, which the codec allocates
_COMPRESSORS = (*_STREAMS, *_SIZES)
_TEXT, _CHECKSUM, _SHARDS = "vlen-utf8", "crc32c", "sharding_indexed"
_PLAIN = ("bytes", "transpose", _TEXT, _CHECKSUM)
_CHECKSUM_BYTES, _ENTRY = 4, 16  # bytes of a checksum; of a chunk in the index of a shard: its offset and its size
_MISSING = 2**64 - 1
_BLOCK = 2**20


def check_regular(folder: Path, name: str, max_bytes: int) -> bool:
    """Check that a name is that of a file of limited size, or of nothing.

    Returns:
        Whether there is a file.

    Raises:
        ValueError: It is a pipe, a device or a folder, or is too large.
    """
    try:
        facts = (folder / name).stat()
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(facts.st_mode):
        raise ValueError(f"{name} must be a file, got a pipe, a device or a folder")
    if facts.st_size > max_bytes:
        raise ValueError(f"{name} must have at most {amount(max_bytes)}, got {amount(facts.st_size)}")
    return True


def check_metadata(folder: Path) -> None:
    """Check the files that Zarr reads when it opens a group and lists its arrays.

    Raises:
        ValueError: One of them is a pipe, a device or a folder, or is too large.
    """
    for parent in (folder, *(path for path in folder.iterdir() if path.is_dir())):
        for name in _METADATA:
            check_regular(parent, name, _MAX_METADATA)


@dataclass(frozen=True)
class ChunkFiles:
    """How the chunks of an array are stored.

    Attributes:
        compressor: Codec that expands a chunk; None: it is not compressed.
        text: Whether a chunk contains texts of any length.
        checksum: Number of bytes after the compressed content.
        chunks: Number of chunks in a file; 0: the file is a chunk.
        index_first: Whether the index of these chunks is at the start of the file.
        index_checksum: Number of bytes after the index.
    """

    compressor: str | None
    text: bool
    checksum: int = 0
    chunks: int = 0
    index_first: bool = False
    index_checksum: int = 0

    def check(self, folder: Path, name: str, max_file: int, max_chunk: int, values: int) -> None:
        """Check a file, which may be missing: then its chunks have the fill value.

        Args:
            folder: Folder of the array.
            name: Name of the file, with folders.
            max_file: Number of bytes that the file may have.
            max_chunk: Number of bytes that a chunk may have, compressed or not.
            values: Number of values of a chunk.

        Raises:
            ValueError: It is not a file, is too large, is damaged, or contains a chunk that expands beyond the limit.
        """
        if not check_regular(folder, name, max_file) or not (self.compressor or self.text or self.chunks):
            return
        with (folder / name).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            for start, count in self._index(file, size) if self.chunks else ((0, size),):
                if count > max_chunk or start + count > size:
                    raise ValueError(f"{name} has a chunk of {amount(count)}, more than declared or stored")
                if self.compressor or self.text:
                    file.seek(start)
                    self._check_content(file.read(max(0, count - self.checksum)), max_chunk, values, name)

    def _check_content(self, content: bytes, max_chunk: int, values: int, name: str) -> None:
        if self.compressor is not None and _expands_beyond(content, self.compressor, max_chunk):
            raise ValueError(f"{name} has a chunk that expands beyond the {amount(max_chunk)} that are declared")
        if self.text:
            import numcodecs  # type: ignore[import-untyped]  # it has no types

            expanded = numcodecs.get_codec({"id": self.compressor}).decode(content) if self.compressor else content
            count = int.from_bytes(bytes(expanded[:4]), "little")  # numcodecs allocates them
            if count > values:
                raise ValueError(f"{name} has a chunk of {count:,} texts, but {values:,} are declared")

    def _index(self, file: IO[bytes], size: int) -> Sequence[tuple[int, int]]:
        """Offset and size of each chunk of a shard."""
        length = self.chunks * _ENTRY
        start = 0 if self.index_first else size - length - self.index_checksum
        if start < 0 or start + length > size:
            raise ValueError(f"a file must contain an index of {self.chunks:,} chunks, got {amount(size)}")
        file.seek(start)
        content = memoryview(file.read(length)).cast("Q")
        return [place for place in zip(content[::2], content[1::2], strict=True) if place[0] != _MISSING]


def chunk_files(metadata: Mapping[str, Any]) -> ChunkFiles:
    """Determine how the chunks of an array are stored.

    Args:
        metadata: The metadata of the array, of version 2 or 3 of the format.

    Raises:
        ValueError: A codec is used whose expansion has no known limit.
    """
    if "codecs" not in metadata:
        used = [*(metadata.get("filters") or ()), *filter(None, [metadata.get("compressor")])]
        return _stored([str(each["id"]) for each in used])
    codecs = [(str(each["name"]), each.get("configuration") or {}) for each in metadata["codecs"]]
    if [name for name, _ in codecs] != [_SHARDS]:
        return _stored([name for name, _ in codecs])
    shard, grid = codecs[0][1], metadata["chunk_grid"]["configuration"]["chunk_shape"]
    chunk = _stored([str(each["name"]) for each in shard["codecs"]])
    index = [str(each["name"]) for each in shard["index_codecs"]]
    endian = shard["index_codecs"][0].get("configuration", {}).get("endian")
    if index not in (["bytes"], ["bytes", _CHECKSUM]) or endian != "little":
        raise ValueError(f"the index of shards must have the codecs bytes (little endian) and crc32c, got {index}")
    count = prod(extent // step for extent, step in zip(grid, shard["chunk_shape"], strict=True))
    first = shard.get("index_location", "end") == "start"
    return ChunkFiles(chunk.compressor, chunk.text, chunk.checksum, count, first, _CHECKSUM_BYTES * (len(index) - 1))


def _stored(codecs: Sequence[str]) -> ChunkFiles:
    """How a chunk is stored that went through codecs, in their order."""
    compressors = [name for name in codecs if name in _COMPRESSORS]
    foreign = [name for name in codecs if name not in (*_PLAIN, *_COMPRESSORS)]
    if foreign or len(compressors) > 1:
        raise ValueError(
            f"chunks must be compressed with one of {', '.join(_COMPRESSORS)}, or not at all, got "
            f"{', '.join(foreign or compressors)}"
        )
    if not compressors:
        return ChunkFiles(None, _TEXT in codecs)
    after = codecs[codecs.index(compressors[0]) + 1 :]
    return ChunkFiles(compressors[0], _TEXT in codecs, _CHECKSUM_BYTES * after.count(_CHECKSUM))


def _expands_beyond(content: bytes, compressor: str, limit: int) -> bool:
    """Whether compressed content expands to more bytes than a limit. At most 1 MiB of it is in memory."""
    if compressor in _SIZES:
        return int.from_bytes(content[_SIZES[compressor]], "little") > limit
    import pyarrow  # type: ignore[import-untyped]  # it has no types

    stream, size = pyarrow.CompressedInputStream(pyarrow.BufferReader(content), _STREAMS[compressor]), 0
    while size <= limit and (block := stream.read(_BLOCK)):
        size += len(block)
    return size > limit
