"""Atomic writes of files and folders: write to a temporary path next to the target, then rename."""

import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
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
        with _named(path), unfinished.open("wb") as file:
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

    The files are flushed to the disk. The old folder is renamed immediately before the new one takes its place, so that
    no reader sees half a folder. What killed processes left is removed afterwards.

    Args:
        folder: The folder to replace; it need not exist. If it is a link, its target is replaced.
    """
    target = folder.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{target.name}-"
    with ExitStack() as held:
        with _locked(target.parent):
            temporary = held.enter_context(tempfile.TemporaryDirectory(dir=target.parent, prefix=prefix))
            held.enter_context(_locked(Path(temporary)))  # which says that this process is alive
        made = Path(temporary, target.name)
        made.mkdir()
        with _named(folder):
            yield made
            _flush(made)
        if target.exists():
            target.replace(Path(temporary, "old"))
        made.replace(target)
    with _locked(target.parent):
        for left in target.parent.glob(f"{glob.escape(prefix)}*"):
            with suppress(BlockingIOError), _locked(left, fcntl.LOCK_NB):
                shutil.rmtree(left, ignore_errors=True)


def _flush(folder: Path) -> None:
    """Write the files of a folder to the disk, so that after a power failure none of them is half written."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Add the path to errors of the system that name no file, such as those of writing to a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def _locked(folder: Path, how: int = 0) -> Iterator[None]:
    """Hold the lock of a folder; with LOCK_NB, raise BlockingIOError if another process holds it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | how)
        yield
    finally:
        os.close(descriptor)
