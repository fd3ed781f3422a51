"""A lock that serializes registrations by processes on this machine that use the same registry."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.files import wait_for_lock
from pipeline.mlflow_server.connection import Server

_MAX_WAIT = 600.0  # seconds


@contextmanager
def only_registration(server: Server, name: str) -> Iterator[None]:
    """Hold the lock of a registered model; other processes wait. The system releases it even if the process is killed.

    Args:
        server: MLflow server of the registry.
        name: Name of the registered model.

    Raises:
        UserError: Another process holds the lock for ten minutes.
    """
    with _file(server.uri, name).open("a") as lock:
        notice = f"another process is registering {name}; waiting for it to finish"
        rule = f"{lock.name}: must be locked for the time of a registration"
        wait_for_lock(lock.fileno(), lock.name, rule, _MAX_WAIT, notice)
        yield


def _file(uri: str, name: str) -> Path:
    """Return the lock file: next to an SQLite database, whose users thus share it, else in the temporary folder."""
    database = Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None
    if database is not None and database.parent.is_dir():  # the URI may depend on the working directory
        return database.with_name(f"{database.name}.{_short(name)}.lock")
    return Path(tempfile.gettempdir(), f"fovea-{os.getuid()}-{_short(uri, name)}.lock")


def _short(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
