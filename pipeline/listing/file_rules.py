"""Rules for the names of the files of a source."""

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import UserError
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
