"""What is said about a database that cannot be used."""

import sqlite3
import sys
from pathlib import Path

import pytest

from pipeline.terminal import UserError
from search.storage import open_storage, storage_errors


def opened(address: str) -> str:
    """The message about a storage that cannot be opened."""
    with pytest.raises(UserError) as caught:
        open_storage(address)
    return str(caught.value)


def test_tables_of_another_version_are_told(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/optuna.db"
    open_storage(address)
    with sqlite3.connect(tmp_path / "optuna.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'v9.9.9'")
    told = opened(address)
    assert f"search.storage: must be a database that can be opened, got {address}: " in told
    assert "no longer compatible with the table schema" in told
    assert told.endswith("; upgrade its tables, or name another database")


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "optuna.db").write_text("not a database " * 100)
    assert "file is not a database" in opened(f"sqlite:///{tmp_path}/optuna.db")


def test_a_server_that_is_away_is_told_without_the_password() -> None:
    told = opened("postgresql+psycopg://me:open%20sesame@127.0.0.1:9/db")
    assert "got postgresql+psycopg://***@127.0.0.1:9/db: " in told
    assert "sesame" not in told


def test_a_driver_that_is_not_installed_is_told_without_the_password() -> None:
    told = opened("mysql+nosuchdriver://me:sesame@host/db")
    assert "got mysql+nosuchdriver://***@host/db" in told
    assert "sesame" not in told


def test_a_missing_driver_of_postgresql_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    told = opened("postgresql+psycopg://me@host/db")
    assert told.endswith("; write postgresql+psycopg://…, and install the driver with `make extras EXTRAS=postgresql`")


def test_an_address_from_the_environment_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_STORAGE", address := "postgresql+psycopg://me@127.0.0.1:9/db")
    assert opened(address).startswith("FOVEA_STORAGE: must be a database that can be opened, got ")


def test_what_is_missing_inside_a_study_is_not_the_storage_s_fault() -> None:
    with pytest.raises(ModuleNotFoundError, match="tensorflow"), storage_errors("sqlite:///x.db"):
        raise ModuleNotFoundError("No module named 'tensorflow'")


def test_a_locked_database_is_not_called_damaged(tmp_path: Path) -> None:
    storage = open_storage(address := f"sqlite:///{tmp_path}/optuna.db")
    with sqlite3.connect(tmp_path / "optuna.db") as database, storage.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=100")
        database.execute("BEGIN EXCLUSIVE")
        with pytest.raises(UserError, match=r"database is locked.*wait for the process"), storage_errors(address):
            connection.exec_driver_sql("DELETE FROM studies")


@pytest.mark.parametrize(
    "address",
    [
        "postgresql+psycopg://me:sesame@127.0.0.1:9/db",
        "postgresql+psycopg://127.0.0.1:9/db?user=me&password=sesame",
        "postgresql+psycopg://me:sesame@host:port/db",
        "postgresql+psycopg:/me:sesame@host/db",
    ],
)
def test_no_form_of_address_shows_its_password(address: str) -> None:
    assert "sesame" not in opened(address)
