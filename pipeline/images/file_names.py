"""Names of files as people and programs can read them."""

import os
import unicodedata
from pathlib import Path


def printable(name: str) -> str:
    r"""A name that every output can hold.

    Accents are composed (NFC); bytes that are not UTF-8 and control characters are written as `\xe9`.
    """
    readable = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    composed = unicodedata.normalize("NFC", readable)
    return "".join(f"\\x{ord(each):02x}" if unicodedata.category(each) == "Cc" else each for each in composed)


def existing(path: Path) -> Path:
    """The path as the file system spells it where its accents were typed in another form; else the path itself."""
    try:
        if os.path.lexists(path) or path.parent == path:
            return path
        parent = existing(path.parent)
        same = [each for each in parent.iterdir() if printable(each.name) == printable(path.name)]
    except (OSError, ValueError):  # nothing that can be listed, or no name at all
        return path
    return same[0] if len(same) == 1 else path
