"""Images that a person names: files, folders, patterns, standard input."""

import glob
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from pipeline.data.image_files import ColorMode, UnreadableError, appearance, decode_bytes, decode_file

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

    def decode(self, color_mode: ColorMode, image_size: tuple[int, ...]) -> NDArray[np.uint8]:
        """The image as (height, width, channels).

        Raises:
            UnreadableError: it cannot be read.
        """
        if self.problem:
            raise UnreadableError(self.problem)
        if self.content is not None:
            return decode_bytes(self.content, self.name, color_mode, image_size)
        return decode_file(Path(self.name), color_mode, image_size)

    def appearance(self) -> tuple[tuple[int, int], ColorMode] | None:
        """Its size and colour mode as stored; None: unknown."""
        return appearance(Path(self.name) if self.content is None else BytesIO(self.content))


def find(names: Sequence[str]) -> Iterator[Found]:
    """What each name stands for, in order; nothing found is told in the place of an image.

    Args:
        names: files, folders with images at any depth, patterns such as `new/*.png` or `new/**/*.png`, or `-`.
    """
    for name in names:
        if name == STDIN:
            yield from _from_stdin()
        else:
            yield from _named(name)


def _named(name: str) -> Iterator[Found]:
    path = Path(name)
    if path.is_dir():
        inside = sorted(each for each in path.rglob("*") if each.suffix.lower() in SUFFIXES and not each.is_dir())
        if not inside:
            yield Found(name, problem=f"{name}: must hold images ({', '.join(SUFFIXES)}), but the folder has none")
        yield from (Found(str(each)) for each in inside)
    elif glob.has_magic(name) and not path.exists():
        matching = sorted(each for each in glob.glob(name, recursive=True) if not Path(each).is_dir())
        if not matching:
            yield Found(name, problem=f"{name}: must match a file, but matches none")
        yield from (Found(each) for each in matching)
    else:
        yield Found(name)


def _from_stdin() -> Iterator[Found]:
    """An image, or names of what to look for, a line each or ended by zero bytes, as they come."""
    stream = cast(BufferedReader, sys.stdin.buffer)
    if stream.peek(4).startswith(_MAGIC) and b"\0" in stream.peek(_HEADER)[:_HEADER]:
        yield Found("standard input", stream.read())
        return
    empty = True
    for line in stream:
        for name in line.decode(errors="surrogateescape").rstrip("\r\n").split("\0"):
            if name:
                empty = False
                yield from _named(name)
    if empty:
        yield Found("standard input", problem="standard input: must be an image, or names of images, but is empty")
