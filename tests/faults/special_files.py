"""Paths that are no regular files, in place of files."""

import os
from pathlib import Path


def pipe(path: Path) -> None:
    """Replace a file by a named pipe, which nobody writes to."""
    path.unlink()
    os.mkfifo(path)


def link_to_itself(path: Path) -> None:
    """Replace a file by a symbolic link to itself."""
    path.unlink()
    path.symlink_to(path.name)
