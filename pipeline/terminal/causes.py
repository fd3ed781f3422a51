"""Errors whose cause lies outside the program: a full disk, missing permissions, exhausted memory."""

import errno
import os
import sqlite3

_REPEAT = "and run the command again"
_REMEDIES = {
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG): ("cannot be written", f"free some disk space, {_REPEAT}"),
    (errno.EACCES, errno.EPERM): ("cannot be accessed", f"change its owner or its permissions, {_REPEAT}"),
    (errno.EROFS,): ("cannot be written", f"mount the file system for writing, {_REPEAT}"),
    (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY): ("is in the way", f"move it, {_REPEAT}"),
    (errno.ENOENT, errno.ESTALE): (
        "cannot be found",
        f"restore it if it was removed, {_REPEAT}",
    ),
    (errno.ELOOP, errno.ENAMETOOLONG): ("cannot be accessed", f"choose another path, {_REPEAT}"),
    (errno.EIO,): ("cannot be accessed", f"check the disk, {_REPEAT}"),
    (errno.EMFILE, errno.ENFILE): ("cannot be opened", f"raise the limit with `ulimit -n 4096`, {_REPEAT}"),
    (errno.EAGAIN,): ("cannot be started", f"end other processes, or raise the limit with `ulimit -u`, {_REPEAT}"),
    (errno.ENOMEM,): ("cannot be loaded", f"free some memory, {_REPEAT}"),
}
_MEMORY = f"close other programs, or reduce training.batch_size or search.workers, {_REPEAT}"
_DATABASE = {
    sqlite3.SQLITE_FULL: f"free some disk space, {_REPEAT}",
    sqlite3.SQLITE_READONLY: f"change the permissions of the database, {_REPEAT}",
    sqlite3.SQLITE_CANTOPEN: f"check the permissions of its folder and the limit `ulimit -n`, {_REPEAT}",
    sqlite3.SQLITE_IOERR: f"check the disk, {_REPEAT}",
    sqlite3.SQLITE_BUSY: f"end other programs that use the database, {_REPEAT}",
    sqlite3.SQLITE_CORRUPT: f"restore the database, or move it away, {_REPEAT}",
    sqlite3.SQLITE_NOTADB: f"restore the database, or move it away, {_REPEAT}",
}


def cause_outside(error: BaseException) -> str | None:
    """Describe the cause of an error and its remedy on one line; None if the cause may be in the program.

    Args:
        error: Any error; also one that a library raised from such a cause.
    """
    cause: BaseException | None = error
    while cause is not None:  # where memory is exhausted, handling the error fails, too
        if is_out_of_memory(cause):
            return f"memory is exhausted; {_MEMORY}"
        cause = cause.__context__
    cause = error
    while cause is not None:
        if isinstance(cause, sqlite3.Error) and (remedy := _DATABASE.get(_primary_code(cause))) is not None:
            return f"database: {cause}; {remedy}"
        if isinstance(cause, OSError) and (found := _of_system(cause)) is not None:
            return found
        if isinstance(cause, RuntimeError) and str(cause).startswith("Symlink loop from "):  # Path.resolve
            link = str(cause).removeprefix("Symlink loop from ").strip("'\"")
            return f"{link}: must not be a symbolic link that leads to itself; remove the link, {_REPEAT}"
        if isinstance(cause, RuntimeError) and "can't start new thread" in str(cause):
            return f"no thread can be started; end other processes, or raise the limit with `ulimit -u`, {_REPEAT}"
        cause = cause.__cause__
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of any backend reports that CPU or GPU memory was exhausted."""
    kinds = {kind.__name__ for kind in type(error).__mro__}  # by name, to avoid importing a backend
    if isinstance(error, MemoryError) or kinds & {"ResourceExhaustedError", "OutOfMemoryError"}:
        return True
    if kinds & {"XlaRuntimeError", "JaxRuntimeError"}:
        return "RESOURCE_EXHAUSTED" in str(error)
    return type(error) is RuntimeError and "DefaultCPUAllocator" in str(error)  # PyTorch on CPUs


def _of_system(error: OSError) -> str | None:
    for codes, (what, remedy) in _REMEDIES.items():
        if error.errno in codes:
            names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
            return f"{' and '.join(names) or 'a file or process'}: {what}: {error.strerror}; {remedy}"
    return None


def _primary_code(error: sqlite3.Error) -> int:
    """SQLite's result code without its extension."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
