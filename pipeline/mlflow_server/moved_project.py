"""A project that was moved: its database names the files of runs and models by where the project was before."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOGGER = logging.getLogger(__name__)
FOLDER = "mlartifacts"  # beside the database
# The columns that name files below an experiment's folder.
_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def follow(database: Path, location: str) -> bool:
    """Let a database name files where they are now, if it lies beside them and names them elsewhere.

    Hold the lock of the first contact. A copy of a project gets files of its own in this way, too.

    Args:
        database: an SQLite file of MLflow.
        location: of the experiment's files, as the database has it.

    Returns:
        Whether anything changed.
    """
    beside = database.resolve().parent / FOLDER
    parts = urlsplit(location)
    before = Path(unquote(parts.path))
    if parts.scheme not in ("", "file") or before.name != FOLDER or not beside.is_dir():
        return False
    if before.resolve() == beside:
        return False
    now = beside.as_uri()
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for table, column in _COLUMNS:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                (now, len(location) + 1, location, len(location) + 1, f"{location}/"),
            )
    _LOGGER.info(
        f"{database.name}: the project was moved; its models and files are now looked for in {FOLDER} beside it"
    )
    return True
