"""Putting finished folders in their place."""

import shutil
from pathlib import Path


def replace_folder(made: Path, folder: Path) -> None:
    """Put a finished folder in the place of another one; where that is a link, in the place of what it points to.

    Args:
        made: it is moved, to another file system too.
        folder: what it replaces; need not exist.
    """
    target = folder.resolve()
    if target.exists():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(made, target)
