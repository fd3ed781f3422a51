"""Update the paths of artifacts in MLflow's database after the project was moved or copied."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOGGER = logging.getLogger(__name__)
FOLDER = "mlartifacts"  # next to the database
# The columns that contain paths of an experiment's artifacts.
_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def follow(database: Path, location: str) -> bool:
    """Update a database that is next to its artifacts but contains another location for them.

    The caller must hold the lock of `first_contact`. A copy of a project then uses its own artifacts, not those of the
    original.

    Args:
        database: SQLite file of MLflow.
        location: URI of the experiment's artifacts according to the database.

    Returns:
        Whether the database was updated.
    """
    folder = database.resolve().parent / FOLDER
    parts = urlsplit(location)
    before = Path(unquote(parts.path))
    if parts.scheme not in ("", "file") or before.name != FOLDER or not folder.is_dir():
        return False
    if before.resolve() == folder:
        return False
    now = folder.as_uri()
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for table, column in _COLUMNS:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608  # names of _COLUMNS
                f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                (now, len(location) + 1, location, len(location) + 1, f"{location}/"),
            )
    _LOGGER.info(
        f"{database.name}: the project was moved or copied; updated the paths of its artifacts to {FOLDER} next to it"
    )
    return True
