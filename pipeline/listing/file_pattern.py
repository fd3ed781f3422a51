"""Classes, groups and splits in the names of files, by a regular expression."""

import re
from pathlib import Path

from pipeline.errors import UserError, shown_first
from pipeline.images.file_names import printable
from pipeline.listing.entry import SPLITS, FileEntry, Listing
from pipeline.listing.walk import files_below, links_below


def list_by_pattern(folder: Path, pattern: str, where: str) -> Listing:
    """List the files of a folder whose names tell their classes.

    Args:
        folder: The folder, whose subfolders are searched as well. Symbolic links are followed.
        pattern: Regular expression that must match a part of each path, relative to the folder and with `/`. Its group
            `label` is the class; `group` and `split` are optional.
        where: The source, in messages.

    Raises:
        UserError: The folder is missing, not readable or empty, or the pattern does not match a file.
    """
    if not folder.is_dir():
        raise UserError(f"{where}: no such folder; pass a folder with files")
    expression, entries, foreign = re.compile(pattern), [], []
    labels: list[str] = []
    for path in files_below(folder):
        name = printable(path.relative_to(folder).as_posix())
        found = expression.search(name)
        parts = found.groupdict() if found else {}
        if not parts.get("label") or parts.get("split", "train") not in SPLITS:
            foreign.append(name)
            continue
        labels.append(parts["label"])
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
