"""Open some of the files of a source, evenly spread."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from pipeline.errors import UnreadableError, UserError
from pipeline.listing.entry import FileEntry, Listing
from pipeline.terminal.progress import progress

T = TypeVar("T")
MAX_FILES = 800  # files that are opened; the others are counted by their names
MAX_BYTES = 80_000_000  # total size of these files, so that large files do not take minutes


class FileSample(NamedTuple, Generic[T]):
    """The opened files of a source.

    Attributes:
        read: The readable ones, with what was read from them.
        unreadable: The other ones.
        reason: Why the first of these cannot be read; empty if there are none.
    """

    read: list[tuple[FileEntry, T]]
    unreadable: list[FileEntry]
    reason: str

    def names(self) -> tuple[str, ...]:
        """Names of the unreadable files."""
        return tuple(entry.name for entry in self.unreadable)


def open_files(chosen: Sequence[FileEntry], read: Callable[[FileEntry], T], what: str) -> FileSample[T]:
    """Open files.

    Args:
        chosen: The files.
        read: Function that returns what is of interest in a file, or raises `UnreadableError`.
        what: What the files are, in the plural.
    """
    found, unreadable, reason = [], [], ""
    for entry in progress(chosen, f"inspecting {what}", len(chosen)):
        try:
            found.append((entry, read(entry)))
        except UnreadableError as error:
            unreadable.append(entry)
            reason = reason or str(error)
    return FileSample(found, unreadable, reason)


def require_readable(sample: FileSample[T], source: str, what: str) -> None:
    """Raise an error if no file is readable.

    Raises:
        UserError: No file is readable. The message contains the reason for the first one.
    """
    if not sample.read:
        raise UserError(
            f"data.source: {source}: none of the {len(sample.unreadable)} inspected files is a readable {what}; the "
            f"first one: {sample.reason}"
        )


def spread(entries: Sequence[FileEntry]) -> list[FileEntry]:
    """Return at most MAX_FILES evenly spaced files, fewer if they are large."""
    chosen = [entries[place] for place in spread_places(len(entries))]
    sizes = [entry.path.stat().st_size for entry in chosen if isinstance(entry.path, Path) and entry.path.is_file()]
    return chosen[:: -(-sum(sizes) // MAX_BYTES)] if sum(sizes) > MAX_BYTES else chosen


def spread_places(count: int, most: int = MAX_FILES) -> list[int]:
    """Return at most `most` evenly spaced indices below `count`."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, most)).tolist()})


def counts_of(
    listing: Listing, entries: Iterable[FileEntry], unreadable: Iterable[FileEntry]
) -> dict[str, tuple[int, ...]]:
    """Number of samples of each class, by split, without those that are known to be unreadable.

    Args:
        listing: The files.
        entries: One file of each sample.
        unreadable: Samples to leave out.
    """
    left_out = set(unreadable)
    found = Counter((entry.split, entry.label) for entry in entries if entry not in left_out)
    return {split: tuple(found[split, label] for label in range(len(listing.classes))) for split in listing.splits}
