"""Who runs a study: one process at a time, on whatever machine."""

import fcntl
import hashlib
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optuna.storages import BaseStorage
from sqlalchemy import BigInteger, Engine, cast, column, func, select, table

from pipeline.errors import UserError


@contextmanager
def only_driver(folder: Path) -> Iterator[None]:
    """Hold a study for this process on this machine; the system lets go of it however the process ends.

    Raises:
        UserError: another process runs the study.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        for wait in (0.1, 0.2, 0.4, None):  # somebody who asks for its status holds it for an instant
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if wait is None:
                    raise _driven(folder.name) from None
                time.sleep(wait)
        try:
            yield
        except UserError:
            if [path.name for path in folder.iterdir()] == ["lock"]:  # nothing came of it
                shutil.rmtree(folder)
            raise


def is_locked(path: Path) -> bool:
    """Whether a process of this machine runs the study, by the lock file of only_driver."""
    try:
        with path.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, BlockingIOError) as error:
        return isinstance(error, BlockingIOError)
    return False


@contextmanager
def only_driver_of_all(name: str, storage: BaseStorage) -> Iterator[None]:
    """Hold a study for this process against those of other machines, where the database can: PostgreSQL can.

    Raises:
        UserError: another process runs the study.
    """
    engine = _postgresql(storage)
    if engine is None:
        yield
        return
    # The server lets go of it with the connection, and so however the process ends.
    with engine.connect() as connection:
        held = connection.execute(select(func.pg_try_advisory_lock(_lock_number(name)))).scalar()
        connection.commit()
        if not held:
            raise _driven(name)
        yield


def is_driven(name: str, storage: BaseStorage) -> bool | None:
    """Whether a process runs the study, by the lock of only_driver_of_all; None where the database cannot tell."""
    engine = _postgresql(storage)
    if engine is None:
        return None
    locks = table("pg_locks", *map(column, ("locktype", "classid", "objid", "granted")))
    number = _lock_number(name) % 2**64  # PostgreSQL shows its two halves
    halves = (cast(locks.c.classid, BigInteger) == number >> 32) & (cast(locks.c.objid, BigInteger) == number % 2**32)
    with engine.connect() as connection:
        held = select(locks.c.objid).where(halves & (locks.c.locktype == "advisory") & locks.c.granted)
        return connection.execute(held).first() is not None


def _postgresql(storage: BaseStorage) -> Engine | None:
    engine = getattr(getattr(storage, "_backend", storage), "engine", None)  # a study wraps it into a cache
    return engine if isinstance(engine, Engine) and engine.dialect.name == "postgresql" else None


def _lock_number(name: str) -> int:
    """A number of 64 bits, with a sign, for a study's name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def _driven(name: str) -> UserError:
    return UserError(f"{name} must have one driver, but another process is running it; wait for it, or stop it")
