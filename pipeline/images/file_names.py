"""Names of files that people and programs can read."""

import os
import unicodedata
from pathlib import Path


def printable(name: str) -> str:
    r"""Normalize a name so that every output can contain it.

    Accents are composed (NFC); bytes that are not UTF-8 and control characters are escaped as `\xe9`.
    """
    if name.isascii() and name.isprintable():
        return name
    readable = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    composed = unicodedata.normalize("NFC", readable)
    return "".join(f"\\x{ord(each):02x}" if unicodedata.category(each) == "Cc" else each for each in composed)


def existing(path: Path) -> Path:
    """The path as spelled in the file system, if its accents are encoded in another form; else the path itself."""
    try:
        if os.path.lexists(path) or path.parent == path:
            return path
        parent = existing(path.parent)
        same = [each for each in parent.iterdir() if printable(each.name) == printable(path.name)]
    except (OSError, ValueError):  # the parent cannot be listed, or the name is invalid
        return path
    return same[0] if len(same) == 1 else path
