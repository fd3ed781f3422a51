"""The arrays of an .npz file, read in place, or decompressed into temporary files."""

import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from pipeline.arrays.file_rows import FileRows
from pipeline.arrays.npy import ArrayLayout, check_complete, read_npy_header
from pipeline.arrays.scratch import decompress
from pipeline.arrays.size import check_ratio
from pipeline.errors import UserError, message_of
from pipeline.terminal.progress import progress

_DAMAGES = (EOFError, NotImplementedError, OverflowError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error)
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature; lengths of the name and of the extra field
_BLOCK = 2**20


class NpzArrays:
    """The arrays of an .npz file by name. No value is read before the array is requested.

    Attributes:
        names: Names of the arrays, in the order of the file.
    """

    def __init__(self, path: Path, where: str) -> None:
        """Read the archive's directory.

        Args:
            path: The .npz file.
            where: Start of an error message.

        Raises:
            UserError: The file is missing or not a zip archive.
        """
        self._path, self._where = path, where
        if not path.exists():
            raise UserError(f"{where}: no such file; pass the path of an .npz file")
        if not path.is_file():
            raise UserError(f"{where}: must be a file, got a folder or device; pass the path of an .npz file")
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        except (*_DAMAGES, OSError) as error:
            raise self._invalid(error) from None
        self._members: Mapping[str, zipfile.ZipInfo] = {
            member.filename.removesuffix(".npy"): member for member in members if member.filename.endswith(".npy")
        }
        self.names = tuple(self._members)

    def array(self, name: str) -> FileRows:
        """Open an array as rows: in the archive if it is stored, otherwise in a temporary file without a name.

        Raises:
            UserError: The array is damaged or contains Python objects, its size is not that of its shape, or there is
                no space to decompress it.
        """
        member = self._members[name]
        where = f"{self._where}: {name}"
        try:
            with self._path.open("rb") as file, zipfile.ZipFile(file) as archive, archive.open(member) as stream:
                layout = read_npy_header(stream, where)
                check_complete(layout, member.file_size - layout.offset, where)
                check_ratio(layout.size, member.compress_size, where)
                if member.compress_type != zipfile.ZIP_STORED:
                    return decompress(stream.read, layout, where)
                start = _first_byte(file, member) + layout.offset
                placed = ArrayLayout(layout.shape, layout.dtype, start, layout.column_major, layout.size)
                present = min(layout.size, os.fstat(file.fileno()).st_size - start)
                rows = FileRows(file, placed, present, where)
                self._check_sum(stream, layout.size)
                return rows
        except (*_DAMAGES, OSError) as error:
            raise self._invalid(error) from None

    def _check_sum(self, stream: IO[bytes], size: int) -> None:
        """Read a stored array once, so that zipfile compares its checksum."""
        for _ in progress(range(-(-size // _BLOCK) + 1), "verifying", -(-size // _BLOCK) + 1):
            if not stream.read(_BLOCK):
                break

    def _invalid(self, error: BaseException) -> UserError:
        return UserError(
            f"{self._where}: is not a valid .npz file: {message_of(error)}; write it with numpy.savez, without "
            "pickled objects"
        )


def _first_byte(file: IO[bytes], member: zipfile.ZipInfo) -> int:
    """Position of a member's content in the archive."""
    file.seek(member.header_offset)
    head = file.read(_LOCAL_HEADER.size)
    signature, name, extra = _LOCAL_HEADER.unpack(head)
    if signature != b"PK\x03\x04":
        raise zipfile.BadZipFile("a member has no header")
    return member.header_offset + _LOCAL_HEADER.size + int(name) + int(extra)
