"""Classes, groups and splits in the names of files, by a regular expression."""

import re
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import UserError, shown_first
from pipeline.images.file_names import printable
from pipeline.listing.entry import SPLITS, FileEntry, Listing
from pipeline.listing.walk import files_below, links_below

_MAX_SECONDS, _MAX_SECONDS_PER_NAME = 5.0, 0.001  # a name takes some microseconds


def list_by_pattern(folder: Path, pattern: str, where: str) -> Listing:
    """List the files of a folder whose names tell their classes.

    Args:
        folder: The folder, whose subfolders are searched as well. Symbolic links are followed.
        pattern: Regular expression that must match a part of each path, relative to the folder and with `/`. Its group
            `label` is the class; `group` and `split` are optional.
        where: The source, in messages.

    Raises:
        UserError: The folder is missing, not readable or empty; the pattern does not match a file, or takes too long.
    """
    if not folder.is_dir():
        raise UserError(f"{where}: no such folder; pass a folder with files")
    entries, foreign = [], []
    labels: list[str] = []
    paths = list(files_below(folder))
    names = [printable(path.relative_to(folder).as_posix()) for path in paths]
    for path, name, parts in zip(paths, names, _parts_of(names, pattern, where), strict=True):
        label = parts.get("label")
        if not label or parts.get("split", "train") not in SPLITS:
            foreign.append(name)
            continue
        labels.append(label)
        group = parts.get("group") or ""
        entries.append(FileEntry(parts.get("split") or "train", 0, path, name, group))
    if foreign:
        raise UserError(
            f"{where}: data.file_pattern must match each file, and split must be train, val or test, got "
            f"{shown_first(foreign)}; correct the pattern, or remove the files"
        )
    classes = tuple(sorted(set(labels)))
    if len(classes) < 2:
        found_classes = f"one label, {classes[0]!r}" if classes else "no files"
        raise UserError(f"{where}: data.file_pattern must find at least two labels, got {found_classes}; correct it")
    index = {name: number for number, name in enumerate(classes)}
    labelled = tuple(entry._replace(label=index[label]) for entry, label in zip(entries, labels, strict=True))
    splits = tuple(split for split in SPLITS if any(entry.split == split for entry in entries))
    if "train" not in splits:
        raise UserError(f"{where}: data.file_pattern must find files of the split train, got {', '.join(splits)}")
    return Listing(printable(folder.resolve().name), where, classes, splits, labelled, tuple(links_below(folder)))


def _parts_of(names: Sequence[str], pattern: str, where: str) -> list[dict[str, str | None]]:
    """Match a pattern with names, within a few seconds; return the values of its groups for each name."""
    name, expression = "", re.compile(pattern)
    seconds = _MAX_SECONDS + _MAX_SECONDS_PER_NAME * len(names)

    def stop(*_: object) -> None:
        raise UserError(
            f"{where}: data.file_pattern must match all names within {seconds:.0f} s, which {name} exceeds; do not "
            "repeat what repeats itself, as (a+)+ does"
        )

    limited = threading.current_thread() is threading.main_thread()  # only the main thread receives signals
    if limited:
        before = signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        parts = []
        for name in names:  # the message contains it
            found = expression.search(name)
            parts.append(found.groupdict() if found else {})
        return parts
    finally:
        if limited:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
