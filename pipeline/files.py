"""Atomic writes of files and folders: write to a temporary path next to the target, then rename."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_file(path: Path, content: str | bytes) -> None:
    """Replace a file atomically. Even after a power failure, it has either the old or the new content.

    Args:
        path: Path of the file. Missing parent folders are created.
        content: Content of the file; strings are encoded as UTF-8.
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
    """Delete a file if it exists, and temporary files that killed processes left when they wrote it."""
    for file in (path, *path.parent.glob(f"{path.name}.*.tmp")):
        file.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces `folder` at the end of the block. After an error nothing is replaced.

    The old folder is renamed immediately before the new one takes its place, so that no reader sees half a folder.

    Args:
        folder: The folder to replace; it need not exist. If it is a link, its target is replaced.
    """
    target = folder.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as temporary:
        made = Path(temporary, target.name)
        made.mkdir()
        yield made
        if target.exists():
            target.replace(Path(temporary, "old"))
        made.replace(target)
