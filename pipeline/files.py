"""Atomic writes of files and folders: write to a temporary path next to the target, then rename."""

import ctypes
import fcntl
import glob
import logging
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from pipeline.errors import UserError

_LOGGER = logging.getLogger(__name__)
_LOCK_SECONDS = 60.0  # processes hold these locks for moments
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


def write_file(path: Path, content: str | bytes) -> None:
    """Replace a file atomically. Even after a power failure, it has either the old or the new content.

    Args:
        path: Path of the file. Missing parent folders are created.
        content: Content of the file; strings are encoded as UTF-8.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{secrets.randbits(64)}.tmp")  # containers may have equal process IDs
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

    The files are flushed to the disk. The two folders are exchanged at once, so that a reader sees either; where the
    system cannot do so, there is none for a moment. What killed processes left is removed afterwards.

    Args:
        folder: The folder to replace; it need not exist. If it is a link, its target is replaced.

    Raises:
        UserError: Another process holds the lock of the parent folder for a minute.
    """
    target = folder.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{target.name}-"
    with ExitStack() as held:
        with locked_folder(target.parent):
            temporary = held.enter_context(tempfile.TemporaryDirectory(dir=target.parent, prefix=prefix))
            held.enter_context(locked_folder(Path(temporary)))  # which says that this process is alive
        made = Path(temporary, target.name)
        made.mkdir()
        with _named(folder):
            yield made
            _flush(made)
        if not _exchange(made, target):
            if target.exists():
                target.replace(Path(temporary, "old"))
            made.replace(target)
    with locked_folder(target.parent):
        for left in target.parent.glob(f"{glob.escape(prefix)}*"):
            with suppress(BlockingIOError), locked_folder(left, wait=False):
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


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two paths at once. Returns False if one is missing, or if the system or its disk cannot do so."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except AttributeError:
        return False
    return bool(rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0)


@contextmanager
def locked_folder(folder: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a folder.

    Args:
        folder: The folder.
        wait: Whether to wait for up to a minute, and to say so, if another process holds the lock.

    Raises:
        BlockingIOError: Another process holds the lock, and `wait` is false.
        UserError: Another process holds the lock for a minute.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if wait:
            notice = f"{folder}: locked by another process; waiting for up to {_LOCK_SECONDS:g} s"
            rule = f"{folder}: must be locked by other processes for moments only"
            wait_for_lock(descriptor, str(folder), rule, _LOCK_SECONDS, notice, notice_after=1.0)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def wait_for_lock(
    descriptor: int, path: str, rule: str, seconds: float, notice: str, notice_after: float = 0.0
) -> None:
    """Lock an open file or folder, and wait if another process holds the lock. Closing it releases the lock.

    Args:
        descriptor: Descriptor of the file or folder.
        path: Its path.
        rule: How long others may hold the lock, for the error message, with the path.
        seconds: Longest time to wait.
        notice: What to say while waiting.
        notice_after: Seconds of waiting after which to say it.

    Raises:
        UserError: Another process holds the lock for that time.
    """
    start, said = time.monotonic(), False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            waited = time.monotonic() - start
            if waited > seconds:
                raise UserError(
                    f"{rule}, got a lock of more than {seconds:g} s; stop the process that holds it, which "
                    f"`lsof {path}` shows"
                ) from None
            if waited >= notice_after and not said:
                said = True
                _LOGGER.info(notice)
        time.sleep(0.01)
