"""Check MLflow's database before MLflow opens it, because MLflow retries for minutes if it cannot be opened."""

import sqlite3
import stat
import time
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import NullPool, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from pipeline.errors import message_of

_TIMED = ("postgresql", "mysql")  # databases whose drivers accept the option `connect_timeout`
_CONNECT_SECONDS = "5"
_HEADER = b"SQLite format 3\0"
_MAX_SECONDS = 2.0  # of the check; a database of 100 MB takes 0.12 s
_STEPS = 100_000  # of SQLite's virtual machine between two looks at the clock
_REMEDY = "restore it from a backup, or move it away; `fovea sync` publishes the records to a new one"


def database_defect(path: Path) -> str | None:
    """Return what is wrong with a database, and the remedy; None: no defect was found, or there is no such file."""
    if path.is_dir():
        return f"must be an SQLite database, got a folder; {_REMEDY}"
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for a writer
            return f"must be an SQLite database, got a pipe or a device; {_REMEDY}"
        with path.open("rb") as file:
            header = file.read(len(_HEADER))
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"cannot be read: {error.strerror}; make it readable"
    if not header:
        return None
    if header != _HEADER:
        return f"must be an SQLite database, got another file; {_REMEDY}"
    try:
        found = _quick_check(path)
    except sqlite3.DatabaseError as error:
        found = f"is damaged: {error}"
    return f"{found}; {_REMEDY}" if found else None


def connection_defect(uri: str) -> str | None:
    """Return why MLflow's database on a server cannot be used, and the remedy; None: it can, or it is on no server."""
    backend = uri.partition(":")[0].partition("+")[0]
    if backend not in (*_TIMED, "mssql"):
        return None
    try:
        address = make_url(uri)
        if backend in _TIMED and "connect_timeout" not in address.query:
            address = address.update_query_dict({"connect_timeout": _CONNECT_SECONDS})
        create_engine(address, poolclass=NullPool).connect().close()
    except ImportError as error:
        return f"{message_of(error)}; install the driver, or name another one, as in postgresql+psycopg://"
    except (SQLAlchemyError, ValueError) as error:  # a ValueError if the port is no number
        return f"{message_of(error)}; start the database, or correct MLFLOW_TRACKING_URI"
    return None


def _quick_check(path: Path) -> str:
    """Return the first defect in the structure of a database, or of its version; empty if there is none."""
    deadline = time.monotonic() + _MAX_SECONDS
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", timeout=1.0, uri=True)) as connection:
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
        try:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found == "ok" and (version := _unknown_version(connection)) is not None:
                return version
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode in (sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                return ""
            raise
    return "" if found == "ok" else f"is damaged: {' '.join(str(found).split())}"


def _unknown_version(connection: sqlite3.Connection) -> str | None:
    """Return what is wrong if the tables are not of a version that the installed MLflow knows."""
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError:  # there is no such table: MLflow creates its tables
        return None
    package = find_spec("mlflow")
    if row is None or package is None or not package.submodule_search_locations:
        return None
    migrations = Path(package.submodule_search_locations[0], "store", "db_migrations", "versions")
    if any(path.name.startswith(f"{row[0]}_") for path in migrations.glob("*.py")):
        return None
    return f"must be of a version that the installed MLflow knows, got {str(row[0])[:40]!r}; install a newer MLflow"
