"""The first contact with an SQLite database of MLflow: one process makes its tables, the others wait for it."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

_LONGEST_WAIT = 180.0  # seconds; making the tables takes some ten on a busy machine


@contextmanager
def first_contact(uri: str) -> Iterator[None]:
    """Hold the lock beside an SQLite file, and make the database first where there is none.

    MLflow's migrations are neither atomic nor safe against a second process: two that start at once fail, and one that
    is killed leaves a file that no later start repairs. So the tables are made in another file, which takes its name
    when it is complete. Other addresses need no lock.

    Args:
        uri: MLflow's address.

    Raises:
        OSError: the folder cannot be written, or another process holds the lock for minutes.
    """
    path = sqlite_file(uri)
    if path is None or (path.exists() and not os.access(path.parent, os.W_OK)):  # there, and only to be read
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("filelock").setLevel(logging.WARNING)
    lock = path.with_name(f"{path.name}.lock")
    try:
        with FileLock(lock, timeout=_LONGEST_WAIT):
            if not path.exists() or path.stat().st_size == 0:
                _make(path)
            yield
    except Timeout:
        raise OSError(f"{lock}: another process has held this lock for {_LONGEST_WAIT:.0f} s; stop it") from None


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite address; None for other addresses, and for databases in memory."""
    try:
        url = make_url(uri)
    except ArgumentError:
        return None
    named = url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:"
    return Path(str(url.database)) if named and not url.query else None


def _make(path: Path) -> None:
    """Make a database with all of MLflow's tables."""
    from mlflow.store.db import utils
    from sqlalchemy import URL, create_engine

    untyped: Any = utils

    draft = path.with_name(f"{path.name}.new")
    for left in (draft, draft.with_name(f"{draft.name}-journal")):  # by a process that was killed
        left.unlink(missing_ok=True)
    engine = create_engine(URL.create("sqlite", database=str(draft)))
    try:
        untyped._initialize_tables(engine)  # as `mlflow db upgrade` does with an empty database
    finally:
        engine.dispose()
    draft.replace(path)
