"""Create MLflow's SQLite database safely when several processes connect at once."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

_MAX_WAIT = 180.0  # seconds; creating the tables takes about ten seconds on a busy machine


@contextmanager
def first_contact(uri: str) -> Iterator[None]:
    """Hold a lock file next to an SQLite database, and create the database if it does not exist.

    MLflow's migrations are neither atomic nor safe for concurrent use: two processes that start at once fail, and a
    process that is killed leaves a file that later starts do not repair. The tables are therefore created in another
    file, which is renamed when it is complete. Other databases and servers need no lock.

    Args:
        uri: MLflow's tracking URI.

    Raises:
        OSError: The folder is not writable, or another process holds the lock for several minutes.
    """
    path = sqlite_file(uri)
    if path is None or (path.exists() and not os.access(path.parent, os.W_OK)):  # exists and is read-only
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("filelock").setLevel(logging.WARNING)
    lock = path.with_name(f"{path.name}.lock")
    try:
        with FileLock(lock, timeout=_MAX_WAIT):
            if not path.exists() or path.stat().st_size == 0:
                _make(path)
            yield
    except Timeout:
        raise OSError(f"{lock}: another process has held this lock for {_MAX_WAIT:.0f} s; stop that process") from None


def sqlite_file(uri: str) -> Path | None:
    """Return the file of an SQLite URI, or None for other URIs and for in-memory databases."""
    try:
        url = make_url(uri)
    except (ArgumentError, ValueError):  # a ValueError if the port is no number
        return None
    named = url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:"
    return Path(str(url.database)) if named and not url.query else None


def _make(path: Path) -> None:
    """Create a database with all of MLflow's tables."""
    from mlflow.store.db import utils
    from sqlalchemy import URL, create_engine

    untyped: Any = utils

    draft = path.with_name(f"{path.name}.new")
    for left in (draft, draft.with_name(f"{draft.name}-journal")):  # left by a process that was killed
        left.unlink(missing_ok=True)
    engine = create_engine(URL.create("sqlite", database=str(draft)))
    try:
        untyped._initialize_tables(engine)  # like `mlflow db upgrade` for an empty database
    finally:
        engine.dispose()
    draft.replace(path)
