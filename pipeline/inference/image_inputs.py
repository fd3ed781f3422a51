"""Images and other samples given on the command line: files, folders, patterns, or standard input."""

import glob
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple, cast

from pipeline.images.file_formats import HEADER, SUFFIXES, is_image
from pipeline.images.file_names import existing, printable

STDIN = "-"
_SOUND = (b"fLaC", b"OggS")  # WAV files start with RIFF, as WebP files do
_VOLUME = (b"\x93NUMPY", b"\x1f\x8b", b"\x5c\x01\x00\x00")  # .npy, .nii.gz, .nii


@dataclass(frozen=True)
class ImageInput:
    """An image that the user named.

    Attributes:
        name: Name in messages.
        content: Content of the file, if it was read from standard input.
        problem: Error message, if there is no such image; else empty.
    """

    name: str
    content: bytes | None = None
    problem: str = ""

    @property
    def source(self) -> Path | bytes:
        """Path of the file, or of the folder of slices, as spelled in the file system, or its content."""
        return existing(Path(self.name)) if self.content is None else self.content

    @property
    def shown(self) -> str:
        """The name with characters that every output can contain."""
        return printable(self.name)


def find(
    names: Sequence[str], suffixes: Sequence[str] = SUFFIXES, slices: Sequence[str] = (), text: bool = False
) -> Iterator[ImageInput]:
    """Yield the inputs that each name refers to, in order. A name without inputs yields its problem instead.

    Args:
        names: Files, folders with images at any depth, patterns such as `new/*.png` or `new/**/*.png`, or `-` for
            standard input.
        suffixes: Endings of the files that are taken from folders.
        slices: Endings of files that are only slices of an input, which is their folder.
        text: Whether the files are tables of text. Standard input is then one of them, unless its first line has one of
            the endings, or is an existing path.
    """
    endings = _Endings(tuple(suffixes), tuple(slices))
    for name in names:
        if name == STDIN:
            yield from _from_stdin(endings, text)
        else:
            yield from _named(name, endings)


class _Endings(NamedTuple):
    files: tuple[str, ...]
    slices: tuple[str, ...]


def _named(name: str, endings: _Endings) -> Iterator[ImageInput]:
    try:
        yield from _files(name, existing(Path(name)), endings)
    except (OSError, ValueError) as error:  # name too long or with a zero byte, or folder not readable
        yield ImageInput(name, problem=f"{printable(name)}: cannot be opened: {_reason(error)}")


def _files(name: str, path: Path, endings: _Endings) -> Iterator[ImageInput]:
    if path.is_dir():
        empty = True
        for found in _inside(path, endings):
            empty = False
            yield found
        if empty:
            accepted = ", ".join(endings.files + endings.slices)
            problem = f"{printable(name)}: must contain files ({accepted}), but the folder has none"
            yield ImageInput(name, problem=problem)
    elif glob.has_magic(name) and not os.path.lexists(path):
        matching = sorted(each for each in glob.glob(name, recursive=True) if not Path(each).is_dir())
        if not matching:
            yield ImageInput(name, problem=f"{printable(name)}: must match at least one file, but matches none")
        yield from (ImageInput(each) for each in matching)
    else:
        yield ImageInput(name)


def _inside(folder: Path, endings: _Endings, above: tuple[Path, ...] = ()) -> list[ImageInput]:
    """List the images at any depth of a folder, sorted by path. Links to folders outside it are not followed.

    A folder that contains slices, and no other images, is itself one of the images.
    """
    real = folder.resolve()
    if real in above:
        return []  # a link to a parent folder, whose images are already listed
    if above and not real.is_relative_to(above[0]):
        shown = printable(str(folder))
        problem = f"{shown}: is a link out of the folder, to {printable(str(real))}, and not followed; pass that folder"
        return [ImageInput(str(folder), problem=problem)]
    found: list[ImageInput] = []
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        return [ImageInput(str(folder), problem=f"{printable(str(folder))}: cannot be listed: {_reason(error)}")]
    files = [entry.name.lower() for entry in entries if not entry.is_dir()]
    if any(name.endswith(endings.slices) for name in files) and not any(name.endswith(endings.files) for name in files):
        return [ImageInput(str(folder))]
    for entry in entries:
        if entry.is_dir():
            found.extend(_inside(entry, endings, (*above, real)))
        elif entry.name.lower().endswith(endings.files):
            found.append(ImageInput(str(entry)))
    return found


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _from_stdin(endings: _Endings, text: bool) -> Iterator[ImageInput]:
    """Yield the input on standard input, or the inputs that are named there, by one name per line or zero bytes."""
    stream = cast(BufferedReader, sys.stdin.buffer)
    start = stream.peek(HEADER)
    header = start[:HEADER]
    binary = is_image(header) or (header.startswith(_SOUND + _VOLUME) and b"\0" in header)
    if binary or (text and _is_table(start, endings)):
        yield ImageInput("standard input", stream.read())
        return
    empty = True
    for name in _listed(stream):
        if name:
            empty = False
            yield from _named(os.fsdecode(name), endings)
    if empty:
        yield ImageInput(
            "standard input", problem="standard input: must be a file or a list of file names, but is empty"
        )


def _is_table(start: bytes, endings: _Endings) -> bool:
    """Return whether a text starts with a line that is not the name of an input."""
    first = os.fsdecode(start.lstrip().partition(b"\n")[0].rstrip())
    if not first or "\0" in first or glob.has_magic(first):
        return False
    return not first.lower().endswith(endings.files) and not os.path.lexists(first)


def _listed(stream: BufferedReader) -> Iterator[bytes]:
    """Yield names from a stream as they arrive. Names that end with a zero byte may contain line breaks."""
    if b"\0" not in stream.peek(1):
        yield from (line.rstrip(b"\r\n") for line in stream)
        return
    rest = b""
    while chunk := stream.read1():
        *names, rest = (rest + chunk).split(b"\0")
        yield from names
    yield rest.rstrip(b"\r\n")
