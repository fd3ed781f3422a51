"""What is said about a database that cannot be used."""

import sqlite3
from pathlib import Path

import pytest
from optuna.pruners import NopPruner
from optuna.samplers import RandomSampler

from pipeline.terminal import UserError
from search.storage import open_study


def opened(address: str) -> str:
    """The message about a storage that cannot be opened."""
    with pytest.raises(UserError) as caught:
        open_study("study", address, RandomSampler(), NopPruner())
    return str(caught.value)


def test_tables_of_another_version_are_told(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/optuna.db"
    open_study("study", address, RandomSampler(), NopPruner())
    with sqlite3.connect(tmp_path / "optuna.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'v9.9.9'")
    assert f"search.storage: must be a database that can be opened, got {address}: " in opened(address)


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
