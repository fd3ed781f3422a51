"""List a folder with one subfolder per class, optionally below folders named train, val and test."""

import os
from pathlib import Path

from pipeline.errors import UserError, shown_first
from pipeline.images.file_names import printable
from pipeline.listing.entry import SPLITS, FileEntry, Listing
from pipeline.listing.walk import entries_of, files_below, is_folder, links_below


def list_class_folders(folder: Path, endings: tuple[str, ...], where: str) -> Listing:
    """List the classes, splits and files of a folder without opening the files.

    Names of classes are normalized, so that the accents of one class may be encoded differently in different splits.

    Args:
        folder: The folder.
        endings: Endings of the files, in lower case, which must not lie next to the class folders.
        where: The source, in messages.

    Raises:
        UserError: The folder is missing, has no classes, has folders other than those of the splits, files outside the
            class folders, or a class without files.
    """
    if not folder.is_dir():
        raise UserError(f"{where}: no such folder; pass a folder with one subfolder per class")
    names = list(_folders(folder))
    roots = _given_splits(where, folder, names, endings)
    _require_no_loose_files(where, [folder, *roots.values()], endings)
    if roots:
        classes = tuple(sorted({name for root in roots.values() for name in _folders(root)}))
    else:
        roots, classes = {"train": folder}, tuple(sorted(names))
    if len(classes) < 2:
        found = f"one class, {classes[0]!r}" if classes else "no subfolders"
        raise UserError(f"{where}: must contain a subfolder for each of at least two classes, got {found}; add one")
    start = len(os.fspath(folder / "_")) - 1  # of a path relative to the folder
    listed = [
        FileEntry(split, label, path, printable(os.fspath(path)[start:]))
        for split, root in roots.items()
        for inside in (_folders(root),)
        for label, name in enumerate(classes)
        if name in inside
        for path in files_below(inside[name])
    ]
    present = {entry.label for entry in listed if entry.split == "train"}
    empty = [name for label, name in enumerate(classes) if label not in present]
    if empty:
        raise UserError(
            f"{where}: each class must have files, got none for {shown_first(empty)}; add some, or remove it"
        )
    name = printable(folder.resolve().name)
    return Listing(name, where, classes, tuple(roots), tuple(listed), tuple(links_below(folder)))


def _given_splits(where: str, folder: Path, names: list[str], endings: tuple[str, ...]) -> dict[str, Path]:
    """The folders of train, val and test above those of the classes; empty if the subfolders are classes."""
    folder_of = _folders(folder)
    all_known = all(name.lower() in SPLITS for name in names)
    above = [
        name
        for name in names
        if _folders(folder_of[name])
        and (all_known or (name.lower() in ("train", "training") and not _loose_files(folder_of[name], endings)))
    ]
    if not above:
        return {}
    foreign = [f"{name}{_meant(name)}" for name in names if name not in SPLITS]
    if foreign:
        raise UserError(
            f"{where}: {above[0]} contains folders, so it is read as a split, and the folders next to it must be named "
            f"train, val or test, got {shown_first(foreign)}; rename or move them"
        )
    if "train" not in names:
        raise UserError(f"{where}: must contain a train folder, got {', '.join(names)}; add one")
    return {split: folder / split for split in SPLITS if split in names}


def _meant(name: str) -> str:
    nearest = [split for split in SPLITS if name.lower().startswith(split)]
    return f" (did you mean {nearest[0]}?)" if nearest else ""


def _folders(folder: Path) -> dict[str, Path]:
    """Subfolders of a folder by their printable names."""
    found: dict[str, Path] = {}
    for path in (Path(each.path) for each in entries_of(folder) if is_folder(each)):
        if found.setdefault(printable(path.name), path) is not path:
            raise UserError(
                f"{printable(str(path))}: two folders have this name, and differ only in its Unicode form (accents); "
                "move the files of one folder into the other"
            )
    return found


def _loose_files(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """Files of the source next to folders, and broken links, which may have pointed to folders."""
    return [
        Path(each.path)
        for each in entries_of(folder)
        if not is_folder(each) and (Path(each.name).suffix.lower() in endings or not os.path.exists(each.path))
    ]


def _require_no_loose_files(where: str, roots: list[Path], endings: tuple[str, ...]) -> None:
    """Raise an error for files outside the class folders, which would otherwise be ignored silently."""
    loose = [path for root in roots for path in _loose_files(root, endings)]
    if loose:
        raise UserError(
            f"{where}: must not contain files or broken links next to the class folders, got "
            f"{printable(loose[0].name)}{f' and {len(loose) - 1} more' if len(loose) > 1 else ''}; move or remove them"
        )
