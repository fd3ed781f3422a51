"""One registration at a time among the processes of this machine that use one registry."""

import fcntl
import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.mlflow_server.connection import Server

_LOGGER = logging.getLogger(__name__)


@contextmanager
def only_registration(server: Server, name: str) -> Iterator[None]:
    """Hold the registered model for this process; another one waits. The system lets go of it however the process ends.

    Args:
        server: of the registry.
        name: of the registered model.
    """
    with _file(server.uri, name).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _LOGGER.info(f"another process registers {name} now; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _file(uri: str, name: str) -> Path:
    """Beside a SQLite database, so that whoever shares it shares the lock; else in the folder for temporary files."""
    database = Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None
    if database is not None and database.parent.is_dir():  # its address differs with the working directory
        return database.with_name(f"{database.name}.{_short(name)}.lock")
    return Path(tempfile.gettempdir(), f"fovea-{os.getuid()}-{_short(uri, name)}.lock")


def _short(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
