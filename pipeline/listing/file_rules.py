"""Rules for the names and the places of the files of a source."""

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import UserError, listed_first
from pipeline.images.file_names import printable


def require_distinct_paths(where: str, paths: Iterable[Path]) -> None:
    """Raise an error for files or folders that some file systems do not distinguish, so that one replaces the other.

    Such file systems ignore upper and lower case, or the Unicode form of accents.

    Args:
        where: The source, in messages.
        paths: Paths of the files. A file may be given several times.
    """
    spelled: dict[str, str] = {}
    for path in paths:
        place = str(path)
        while spelled.setdefault(key := _folded(place), place) == place:
            parent = os.path.dirname(place)
            if parent == place or spelled.get(_folded(parent)) == parent:
                break
            place = parent
        else:
            one, two = printable(spelled[key]), printable(place)
            if one == two:
                one, two = ascii(spelled[key]), ascii(place)
            raise UserError(
                f"{where}: names must differ in more than upper and lower case or the Unicode form of accents, which "
                f"some file systems ignore, got {one} and {two}; rename one of them"
            )


def _folded(name: str) -> str:
    """A form that names share if some file systems do not distinguish them."""
    return (name if name.isascii() else unicodedata.normalize("NFC", name)).casefold()


def require_inside(where: str, folder: Path, paths: Iterable[Path]) -> None:
    """Raise an error for files outside a folder, which links or `..` lead to.

    Args:
        where: The source, in messages.
        folder: The folder.
        paths: Paths of the files.
    """
    root = folder.resolve()
    outside = [path for path in paths if not path.resolve().is_relative_to(root)]
    if outside:
        lines = listed_first([f"{printable(str(path))} -> {printable(str(path.resolve()))}" for path in outside])
        raise UserError(
            f"{where}: with data.follow_links: false, files must be inside the folder, got {len(outside)} outside:\n"
            f"{lines}\n  copy them into the folder, or set data.follow_links: true"
        )
