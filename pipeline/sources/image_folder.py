"""Read a folder of images: one subfolder per class, optionally below train, val and test folders."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.data.input_format import ImageFormat
from pipeline.data.value_range import ValueRange
from pipeline.decoding.decode import Decoded
from pipeline.decoding.file_rules import require_inside
from pipeline.decoding.read_files import FileEntry, read_files
from pipeline.errors import UserError, shown_first
from pipeline.images.decode import DecodedImage, read_image
from pipeline.images.file_formats import SUFFIXES
from pipeline.images.file_names import printable
from pipeline.sources.source import SixteenBit, Source

SPLITS = ("train", "val", "test")
_FILES = {"images": "images", "series": "series", "audio": "recordings"}  # by kind of the source
_IGNORED = ("Thumbs.db", "desktop.ini", "__MACOSX")


@dataclass(frozen=True)
class FolderListing:
    """The files of a folder with a subfolder for each class, not yet opened.

    Attributes:
        classes: Names of the classes, sorted; a label is an index into them.
        splits: Names of the splits in the folder; only `train` if its subfolders are classes.
        files: (split, label, path) of each file, sorted by name.
    """

    classes: tuple[str, ...]
    splits: tuple[str, ...]
    files: tuple[tuple[str, int, Path], ...]


def list_class_folders(
    folder: Path, kind: str = "images", endings: Sequence[str] = SUFFIXES, follow_links: bool = True
) -> FolderListing:
    """List the classes, splits and files of a folder without opening the files.

    Names of classes are normalized, so that the accents of one class may be encoded differently in different splits.

    Args:
        folder: The folder.
        kind: Kind of the source, which is also the word for its files in messages.
        endings: Endings of files that must not lie next to the folders of classes.
        follow_links: Whether symbolic links may lead out of the folder.

    Raises:
        UserError: The folder is missing, has no classes, has folders other than those of the splits, files outside the
            class folders, a class without files, or links out of it.
    """
    where = f"data.source: {kind}:{folder}"
    if not folder.is_dir():
        raise UserError(f"{where}: no such folder; pass a folder with one subfolder per class")
    names = list(_folders(folder))
    roots = _given_splits(where, folder, names, endings)
    _require_no_loose_files(where, [folder, *roots.values()], kind, endings)
    if roots:
        classes = tuple(sorted({name for root in roots.values() for name in _folders(root)}))
    else:
        roots, classes = {"train": folder}, tuple(sorted(names))
    if len(classes) < 2:
        found = f"one class, {classes[0]!r}" if classes else "no subfolders"
        raise UserError(f"{where}: must contain a subfolder for each of at least two classes, got {found}; add one")
    listed = [
        (split, label, path)
        for split, root in roots.items()
        for inside in (_folders(root),)
        for label, name in enumerate(classes)
        if name in inside
        for path in _files(inside[name])
    ]
    empty = [
        name
        for label, name in enumerate(classes)
        if not any(entry[0] == "train" and entry[1] == label for entry in listed)
    ]
    if empty:
        raise UserError(
            f"{where}: each class must have {_FILES[kind]}, got none for {shown_first(empty)}; add some, or remove it"
        )
    if not follow_links:
        require_inside(where, folder, [path for *_, path in listed])
    return FolderListing(classes, tuple(roots), tuple(listed))


def read_image_folder(
    folder: Path,
    image_format: ImageFormat,
    on_unreadable: Literal["error", "skip"],
    value_range: ValueRange,
    decoded: Path,
    follow_links: bool,
) -> Source:
    """Read the images of a folder. Classes and files are sorted by name.

    Args:
        folder: The folder.
        image_format: How the images are converted.
        on_unreadable: What happens to files that are not readable images.
        value_range: Raw values that the pixels are converted to.
        decoded: Folder of decoded images.
        follow_links: Whether symbolic links may lead out of the folder.

    Raises:
        UserError: The folder is missing, has no classes, has folders other than those of the splits, images outside the
            class folders, unreadable files (all of them are listed), or images of several sizes without an
            `image_size`.
    """
    where = f"data.source: images:{folder}"
    listing = list_class_folders(folder, follow_links=follow_links)
    entries = [
        FileEntry(split, label, path, printable(path.relative_to(folder).as_posix()))
        for split, label, path in listing.files
    ]
    decode = partial(decode_image, image_format=image_format, value_range=value_range)
    found = read_files(where, entries, decode, [image_format, value_range], decoded, on_unreadable, "reading images")
    return Source(
        printable(folder.resolve().name),
        listing.classes,
        found.parts(listing.splits, "set data.image_size: [height, width]"),
        skipped=found.skipped,
        sixteen_bit=sixteen_bit_of(found.facts),
        links=tuple(linked_folders(folder)),
        names=found.names,
        files=found.records(listing.classes),
        input_format=image_format,
    )


def decode_image(content: bytes, name: str, image_format: ImageFormat, value_range: ValueRange) -> Decoded:
    """Decode the content of an image file into one sample."""
    image = read_image(content, name, image_format, value_range)
    return Decoded(image.values[np.newaxis], facts_of(image))


def facts_of(image: DecodedImage) -> dict[str, Any]:
    """What is known about an image file, as JSON values."""
    return {
        "size": list(image.size),
        "color_mode": image.color_mode,
        "sixteen_bit": image.sixteen_bit,
        "mode": image.mode,
        "format": image.file_format,
        "converted": list(image.converted),
    }


def sixteen_bit_of(files: Sequence[Mapping[str, Any]]) -> SixteenBit | None:
    """Summarize the files with 16 bits per value; None if there are none.

    Args:
        files: What is known about each file.
    """
    found = [each for each in files if each["sixteen_bit"] is not None]
    if not found:
        return None
    return SixteenBit(
        files=len(found),
        least=min(each["sixteen_bit"][0] for each in found),
        greatest=max(each["sixteen_bit"][1] for each in found),
    )


def linked_folders(folder: Path) -> Iterator[str]:
    """Yield the folders below a source that are symbolic links; DVC does not see their content."""
    for above, names, _ in os.walk(folder):
        names[:] = sorted(name for name in names if name not in _IGNORED and not name.startswith("."))
        for path in (Path(above, name) for name in names):
            if path.is_symlink():
                yield printable(path.relative_to(folder).as_posix())


def _given_splits(where: str, folder: Path, names: list[str], endings: Sequence[str]) -> dict[str, Path]:
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


def _entries(folder: Path) -> list[Path]:
    """Content of a folder, except hidden files and those that operating systems leave behind."""
    try:
        return sorted(path for path in folder.iterdir() if path.name not in _IGNORED and not path.name.startswith("."))
    except PermissionError:
        raise UserError(f"{printable(str(folder))}: permission denied; make the folder readable") from None


def _folders(folder: Path) -> dict[str, Path]:
    """Subfolders of a folder by their printable names."""
    found: dict[str, Path] = {}
    for path in _entries(folder):
        if path.is_dir() and found.setdefault(printable(path.name), path) is not path:
            raise UserError(
                f"{printable(str(path))}: two folders have this name, and differ only in its Unicode form (accents); "
                "move the images of one folder into the other"
            )
    return found


def _files(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Yield all files below a class folder. Symbolic links are followed; broken links are yielded as well."""
    real = folder.resolve()
    if real in above:
        raise UserError(f"{folder}: a symbolic link makes the folder contain itself; remove the link")
    for path in _entries(folder):
        if path.is_dir():
            yield from _files(path, (*above, real))
        else:
            yield path


def _loose_files(folder: Path, endings: Sequence[str]) -> list[Path]:
    """Files next to folders, and broken links, which may have pointed to folders."""
    return [
        path
        for path in _entries(folder)
        if not path.is_dir() and (path.suffix.lower() in endings or not os.path.exists(path))
    ]


def _require_no_loose_files(where: str, roots: list[Path], kind: str, endings: Sequence[str]) -> None:
    """Raise an error for files outside the class folders, which would otherwise be ignored silently."""
    loose = [path for root in roots for path in _loose_files(root, endings)]
    if loose:
        raise UserError(
            f"{where}: must not contain {_FILES[kind]} or broken links next to the class folders, got "
            f"{printable(loose[0].name)}{f' and {len(loose) - 1} more' if len(loose) > 1 else ''}; move or remove them"
        )
