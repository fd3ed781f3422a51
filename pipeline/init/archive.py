"""Unpack archives of images into the project, never outside their folder and with limits on the size."""

import lzma
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from pipeline.digest import file_sha256
from pipeline.errors import UserError

MAX_BYTES = 20 * 2**30  # largest unpacked size
MAX_FILES = 2_000_000
_ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_DAMAGES = (
    OSError, EOFError, ValueError, NotImplementedError, RuntimeError, tarfile.TarError, zipfile.BadZipFile, zlib.error,
    lzma.LZMAError,
)  # fmt: skip
_DIGEST = ".archive-sha256"  # in the unpacked folder; list_class_folders ignores hidden files


def is_archive(path: Path) -> bool:
    """Whether the file name has an ending of an archive that `unpack` reads."""
    return path.name.lower().endswith(_ENDINGS)


def unpack(archive: Path, raw: Path, most_bytes: int = MAX_BYTES) -> Path:
    """Unpack an archive below `raw` and return the folder of its images. An archive is unpacked only once.

    Only regular files are unpacked: links and devices are rejected, since they can point outside the folder. A
    folder that wraps everything else is removed.

    Args:
        archive: A .zip file, or a .tar file, which may be compressed.
        raw: Folder for raw data, which DVC tracks.
        most_bytes: Maximum number of bytes to unpack.

    Raises:
        UserError: The archive is damaged, contains a path outside its folder, or is too large (then no unpacked files
            remain), or the folder exists and was not unpacked from this archive.
    """
    name = archive.name
    for ending in sorted(_ENDINGS, key=len, reverse=True):
        if name.lower().endswith(ending):
            name = name[: -len(ending)]
            break
    target = raw / (name or "archive")
    digest = file_sha256(archive)
    if target.exists():
        mark = target / _DIGEST
        if mark.is_file() and mark.read_text(encoding="ascii") == digest:
            return target
        raise UserError(
            f"--data: {archive}: cannot be unpacked to {target}, which already contains other files; move that folder, "
            "or pass it as --data if it contains the same images"
        )
    raw.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=raw, prefix=".unpacking-") as folder:
        try:
            _unpack(archive, Path(folder), most_bytes)
        except _DAMAGES as error:
            raise UserError(
                f"--data: {archive}: cannot be unpacked, since it is truncated, damaged or encrypted: {error}; "
                "download it again"
            ) from None
        inner = _strip_wrapper_folders(Path(folder))
        (inner / _DIGEST).write_text(digest, encoding="ascii")
        shutil.move(inner, target)
    os.chmod(target, 0o755)  # noqa: S103  # temporary folders are readable by their owner only
    return target


def _unpack(archive: Path, folder: Path, most_bytes: int) -> None:
    written = 0
    for number, (name, stream) in enumerate(_members(archive)):
        place = _inside(archive, name, folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        with stream, place.open("xb") as file:
            while block := stream.read(2**20):
                written += len(block)
                if written > most_bytes or number >= MAX_FILES:
                    raise UserError(
                        f"--data: {archive}: unpacks to more than {most_bytes:,} bytes or {MAX_FILES:,} files; unpack "
                        "it yourself and pass the folder as --data"
                    )
                file.write(block)


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield names and contents of the regular files in an archive."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as zipped:
            for entry in zipped.infolist():
                if entry.is_dir():
                    continue
                if (entry.external_attr >> 16) & 0o170000 == 0o120000:
                    raise _refused(archive, entry.filename, "is a link")
                yield entry.filename, zipped.open(entry)
        return
    with tarfile.open(archive, errorlevel=2) as packed:
        read = 0
        for member in packed:
            read = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            if member.isdir():
                continue
            content = packed.extractfile(member) if member.isreg() else None
            if content is None:
                raise _refused(archive, member.name, "is not a regular file")
            yield member.name, content
        # tarfile treats a damaged header as the end of the archive; at the real end there is a block of zeros.
        packed.fileobj.seek(read)
        if packed.fileobj.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise tarfile.ReadError("damaged header")


def _inside(archive: Path, name: str, folder: Path) -> Path:
    """Return the target path of a member, which must be below the folder."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0].startswith("/") or ".." in parts or ":" in parts[0] or "\0" in name:
        raise _refused(archive, name, "points outside it")
    return folder.joinpath(*parts)


def _refused(archive: Path, name: str, why: str) -> UserError:
    return UserError(
        f"--data: {archive}: must contain only regular files with paths inside the archive, but {name!r} {why}; "
        "unpack it yourself and pass the folder as --data"
    )


def _strip_wrapper_folders(folder: Path) -> Path:
    """Return the folder that contains the classes, below all wrapping folders. Split folders are not entered."""
    while True:
        inside = [path for path in folder.iterdir() if not path.name.startswith(".") and path.name != "__MACOSX"]
        if len(inside) != 1 or not inside[0].is_dir() or inside[0].name in ("train", "val", "test"):
            return folder
        folder = inside[0]
