"""Locks that let only one process at a time run a study, on any machine."""

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TextIO

from optuna.storages import BaseStorage
from sqlalchemy import URL, BigInteger, Engine, NullPool, cast, column, create_engine, func, select, table, text

from pipeline.errors import UserError
from pipeline.files import locked_folder


@contextmanager
def study_lock(folder: Path) -> Iterator[None]:
    """Lock a study on this machine for this process. The system releases the lock however the process ends.

    Args:
        folder: Folder of the study, which contains the lock file.

    Raises:
        UserError: Another process is running the study.
    """
    with _locked_file(folder):
        try:
            yield
        except UserError:
            if [path.name for path in folder.iterdir()] == ["lock"]:  # the study left no files
                (folder / "lock").unlink()
                with suppress(OSError):  # another process has created its lock file
                    folder.rmdir()
            raise


def _locked_file(folder: Path) -> TextIO:
    """Open and lock the lock file of a study, which another process may delete at any moment before."""
    path = folder / "lock"
    for wait in (0.1, 0.2, 0.4, None):  # a process that reads the status holds the lock for a moment
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError, BlockingIOError), ExitStack() as opened:
            lock = opened.enter_context(path.open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                opened.pop_all()
                return lock
        if wait is not None:
            time.sleep(wait)
    raise _driven(folder.name)


def is_locked(path: Path) -> bool:
    """Return whether a process on this machine runs the study, according to the lock file of `study_lock`."""
    try:
        with path.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, BlockingIOError) as error:
        return isinstance(error, BlockingIOError)
    return False


@contextmanager
def study_lock_in_database(name: str, storage: BaseStorage) -> Iterator[None]:
    """Lock a study on all machines for this process, if the database is PostgreSQL.

    Nothing is locked in other databases.

    Args:
        name: Name of the study.
        storage: The database of the study.

    Raises:
        UserError: Another process is running the study.
    """
    engine = _postgresql(storage)
    if engine is None:
        yield
        return
    # The server releases the lock when the connection closes, however the process ends.
    with engine.connect() as connection:
        held = connection.execute(select(func.pg_try_advisory_lock(_lock_number(name)))).scalar()
        connection.commit()
        if not held:
            raise _driven(name)
        yield


@contextmanager
def creation_lock(url: URL) -> Iterator[None]:
    """Let only one process at a time create the tables of a database, which is an SQLite file or PostgreSQL.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: The server cannot be reached, or another process holds its lock for a minute.
        UserError: Another process holds the lock of the file's folder for a minute.
    """
    with ExitStack() as stack:
        match url.get_backend_name():
            case "sqlite" if url.database:
                stack.enter_context(locked_folder(Path(url.database).parent))
            case "postgresql":
                connection = stack.enter_context(create_engine(url, poolclass=NullPool).connect())
                connection.execute(text("SET lock_timeout = '60s'"))
                connection.execute(select(func.pg_advisory_lock(_lock_number("tables"))))
        yield


def is_running(name: str, storage: BaseStorage) -> bool | None:
    """Return whether a process runs the study, or None if the database has no lock of `study_lock_in_database`."""
    engine = _postgresql(storage)
    if engine is None:
        return None
    locks = table("pg_locks", *map(column, ("locktype", "classid", "objid", "granted")))
    number = _lock_number(name) % 2**64  # pg_locks has its two halves in separate columns
    halves = (cast(locks.c.classid, BigInteger) == number >> 32) & (cast(locks.c.objid, BigInteger) == number % 2**32)
    with engine.connect() as connection:
        held = select(locks.c.objid).where(halves & (locks.c.locktype == "advisory") & locks.c.granted)
        return connection.execute(held).first() is not None


def _postgresql(storage: BaseStorage) -> Engine | None:
    engine = getattr(getattr(storage, "_backend", storage), "engine", None)  # a study wraps it in a cache
    return engine if isinstance(engine, Engine) and engine.dialect.name == "postgresql" else None


def _lock_number(name: str) -> int:
    """Return a signed 64-bit number for a study's name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def _driven(name: str) -> UserError:
    return UserError(
        f"{name}: must be run by one process at a time, but another process is running it; wait for that process, or "
        "stop it"
    )
