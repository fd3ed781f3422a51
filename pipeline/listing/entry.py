"""The files of a source, not yet opened."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

SPLITS = ("train", "val", "test")


class FileEntry(NamedTuple):
    """A file of a source.

    Attributes:
        split: Part of the source that the file belongs to; `train` if the source has no splits of its own.
        label: Class index.
        path: Path of the file, or an address such as `s3://bucket/key`.
        name: Name of the file relative to the source, printable.
        group: Group that must not be distributed over several splits; empty: the file is a group of its own.
        weight: Positive weight of the file's samples in the training loss; None: the files of the source have none.
        prefix: Number of folders at the start of `name` that tell which of several joined folders contains the file.
    """

    split: str
    label: int
    path: Path | str
    name: str
    group: str = ""
    weight: float | None = None
    prefix: int = 0

    def below_class(self) -> list[str]:
        """The parts of the name below the folder of the class; the last one is the file itself."""
        parts = self.name.split("/")[self.prefix :]
        return parts[2 if parts[0] == self.split else 1 :]


@dataclass(frozen=True)
class Listing:
    """The files of a source.

    Attributes:
        name: Name of the source, without its path.
        where: The source, in messages.
        classes: Names of the classes, sorted; a label is an index into them.
        splits: Names of the source's own splits; only `train` if it has none.
        entries: The files.
        links: Folders whose changes DVC does not detect, although it detects those of the source: symbolic links below
            it, relative to it, and folders elsewhere that a manifest names.
    """

    name: str
    where: str
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    entries: tuple[FileEntry, ...]
    links: tuple[str, ...] = ()
