"""Images that a person names: files, folders, patterns, standard input."""

import glob
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import cast

from pipeline.data.value_range import BYTES, ValueRange
from pipeline.images.decode import ColorMode, DecodedImage, UnreadableError, read_image
from pipeline.images.file_names import existing, printable

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
STDIN = "-"
_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"GIF8", b"RIFF")
_HEADER = 32  # bytes in which each kind of image file has a zero, too, and a list of such names has none


@dataclass(frozen=True)
class Found:
    """An image that was named.

    Attributes:
        name: what messages call it.
        content: of its file, where it came through standard input.
        problem: why there is none, if so.
    """

    name: str
    content: bytes | None = None
    problem: str = ""

    def read(self, color_mode: ColorMode, image_size: tuple[int, ...], value_range: ValueRange = BYTES) -> DecodedImage:
        """The image as a network takes it.

        Raises:
            UnreadableError: it cannot be read.
        """
        if self.problem:
            raise UnreadableError(self.problem)
        source = existing(Path(self.name)) if self.content is None else self.content
        return read_image(source, self.shown, color_mode, image_size, value_range)

    @property
    def shown(self) -> str:
        """Its name as every output can hold it."""
        return printable(self.name)


def find(names: Sequence[str]) -> Iterator[Found]:
    """What each name stands for, in order; a name for which nothing is found yields its problem instead of an image.

    Args:
        names: files, folders with images at any depth, patterns such as `new/*.png` or `new/**/*.png`, or `-`.
    """
    for name in names:
        if name == STDIN:
            yield from _from_stdin()
        else:
            yield from _named(name)


def _named(name: str) -> Iterator[Found]:
    try:
        yield from _files(name, existing(Path(name)))
    except (OSError, ValueError) as error:  # a name that is too long or has a zero byte, a folder that may not be read
        yield Found(name, problem=f"{printable(name)}: cannot be opened: {_reason(error)}")


def _files(name: str, path: Path) -> Iterator[Found]:
    if path.is_dir():
        empty = True
        for found in _inside(path):
            empty = False
            yield found
        if empty:
            problem = f"{printable(name)}: must hold images ({', '.join(SUFFIXES)}), but the folder has none"
            yield Found(name, problem=problem)
    elif glob.has_magic(name) and not os.path.lexists(path):
        matching = sorted(each for each in glob.glob(name, recursive=True) if not Path(each).is_dir())
        if not matching:
            yield Found(name, problem=f"{printable(name)}: must match a file, but matches none")
        yield from (Found(each) for each in matching)
    else:
        yield Found(name)


def _inside(folder: Path, above: tuple[Path, ...] = ()) -> list[Found]:
    """The images at any depth of a folder, in the order of their paths, through links as at training."""
    real = folder.resolve()
    if real in above:
        return []  # a link to a folder above it: its images are found there
    found: list[Found] = []
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        return [Found(str(folder), problem=f"{printable(str(folder))}: cannot be listed: {_reason(error)}")]
    for entry in entries:
        if entry.is_dir():
            found.extend(_inside(entry, (*above, real)))
        elif entry.suffix.lower() in SUFFIXES:
            found.append(Found(str(entry)))
    return found


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _from_stdin() -> Iterator[Found]:
    """An image, or names of what to look for, a line each or ended by zero bytes, as they come."""
    stream = cast(BufferedReader, sys.stdin.buffer)
    if stream.peek(4).startswith(_MAGIC) and b"\0" in stream.peek(_HEADER)[:_HEADER]:
        yield Found("standard input", stream.read())
        return
    empty = True
    for name in _listed(stream):
        if name:
            empty = False
            yield from _named(os.fsdecode(name))
    if empty:
        yield Found("standard input", problem="standard input: must be an image, or names of images, but is empty")


def _listed(stream: BufferedReader) -> Iterator[bytes]:
    """Names in a stream, as they come; those that are ended by zero bytes may have line breaks in them."""
    if b"\0" not in stream.peek(1):
        yield from (line.rstrip(b"\r\n") for line in stream)
        return
    rest = b""
    while chunk := stream.read1():
        *names, rest = (rest + chunk).split(b"\0")
        yield from names
    yield rest.rstrip(b"\r\n")
