"""Content digests."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[1]


def digest(*values: Any) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 digest of the values as canonical JSON.

    Raises:
        TypeError: A value contains something other than numbers, strings, booleans, None, lists, tuples and mappings.
    """
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def source_digests(folders: Sequence[str]) -> list[str]:
    """SHA-256 of the path and content of each Python file in the project's folders, including subfolders."""
    paths = sorted(path.relative_to(_ROOT).as_posix() for folder in folders for path in (_ROOT / folder).rglob("*.py"))
    return [hashlib.sha256(path.encode() + b"\0" + (_ROOT / path).read_bytes()).hexdigest() for path in paths]
