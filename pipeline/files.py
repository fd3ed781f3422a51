"""Files and folders that appear whole: made beside their place, flushed, and renamed."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_file(path: Path, content: str | bytes) -> None:
    """Replace a file in one step: at any moment, power cuts included, it is the old one or the new one.

    Args:
        path: its folder is made where it is missing.
        content: text is written as UTF-8.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with unfinished.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def remove_file(path: Path) -> None:
    """Delete a file, and what killed processes left while they wrote it; nothing need be there."""
    for file in (path, *path.parent.glob(f"{path.name}.*.tmp")):
        file.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """An empty folder that takes the place of `folder` when the block ends well; after an error nothing changes.

    Args:
        folder: what it replaces; need not exist. Where it is a link, what it points to is replaced.
    """
    target = folder.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as beside:
        made = Path(beside, target.name)
        made.mkdir()
        yield made
        if target.exists():
            shutil.rmtree(target)
        made.replace(target)
