"""A folder of images, one subfolder per class, optionally with train, val and test folders above."""

import os
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.data.image_files import UnreadableError, decode_file
from pipeline.data.source import Part, Source
from pipeline.terminal import UserError, progress

SPLITS = ("train", "val", "test")
_SHOWN = 20


def read_image_folder(
    folder: Path,
    color_mode: Literal["grayscale", "rgb"],
    image_size: tuple[int, ...] | None,
    on_unreadable: Literal["error", "skip"],
) -> Source:
    """The images of a folder. Classes and files are taken in the order of their names.

    Raises:
        UserError: the folder is missing, has no classes, has files that are no readable image (all of them are
            listed), or images of several sizes where `image_size` does not say one.
    """
    where = f"data.source: images:{folder}"
    if not folder.is_dir():
        raise UserError(f"{where}: no such folder; give a folder with one subfolder per class")
    names = _folders(folder)
    splits = tuple(name for name in SPLITS if name in names)
    if splits and set(names) <= set(SPLITS):
        if "train" not in splits:
            raise UserError(f"{where}: has {', '.join(splits)} but no train folder; add one")
        roots = {split: folder / split for split in splits}
        classes = tuple(sorted({name for root in roots.values() for name in _folders(root)}))
    else:
        roots, classes = {"train": folder}, tuple(names)
    if len(classes) < 2:
        found = f"one class, {classes[0]!r}" if classes else "no subfolders"
        raise UserError(f"{where}: needs a subfolder for each of at least two classes, got {found}")
    _require_no_loose_files(where, roots)
    listed = [
        (split, label, path)
        for split, root in roots.items()
        for label, name in enumerate(classes)
        for path in _files(root / name)
    ]
    empty = [
        name
        for label, name in enumerate(classes)
        if not any(entry[0] == "train" and entry[1] == label for entry in listed)
    ]
    if empty:
        raise UserError(f"{where}: each class needs images, got none for {', '.join(empty)}; add some, or remove it")
    pixels, unreadable = [], []
    for split, label, path in progress(listed, "reading images", len(listed)):
        try:
            pixels.append((split, label, path, decode_file(path, color_mode, image_size)))
        except UnreadableError as error:
            unreadable.append((path.relative_to(folder).as_posix(), str(error)))
    if unreadable and on_unreadable == "error":
        lines = "\n".join(f"  {told}" for _, told in unreadable)
        raise UserError(
            f"{where}: {len(unreadable)} of {len(listed)} files are no readable image:\n{lines}\n"
            "  mend or remove them, or set data.on_unreadable: skip"
        )
    sizes = Counter(image.shape[:2] for *_, image in pixels)
    if len(sizes) > 1:
        told = ", ".join(f"{height}×{width} ({count})" for (height, width), count in sizes.most_common(_SHOWN))
        raise UserError(f"{where}: images must have one size, got {told}; set data.image_size: [height, width]")
    parts: dict[str, Part] = {}
    for split in roots:
        chosen = [(label, image) for name, label, _, image in pixels if name == split]
        if not chosen:
            raise UserError(f"{where}: {split} has no readable image; add some, or remove the folder")
        parts[split] = (np.stack([image for _, image in chosen]), np.array([label for label, _ in chosen], np.int64))
    return Source(folder.resolve().name, classes, parts, tuple(name for name, _ in unreadable))


def _folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    """All files below a class's folder but hidden ones."""
    if not folder.is_dir():
        return []
    found = []
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden and path.name not in ("Thumbs.db", "desktop.ini"):
            found.append(path)
    return found


def _require_no_loose_files(where: str, roots: dict[str, Path]) -> None:
    """Images beside the classes' folders would be left out silently."""
    endings = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
    loose = [path for root in roots.values() for path in sorted(root.iterdir()) if path.suffix.lower() in endings]
    if loose:
        raise UserError(
            f"{where}: images must stand in their class's folder, got {loose[0].name} "
            f"{f'and {len(loose) - 1} others ' if len(loose) > 1 else ''}beside the folders; move or remove them"
        )
