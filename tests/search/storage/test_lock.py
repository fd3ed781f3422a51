"""Only one process at a time runs a study."""

from pathlib import Path

import optuna
import pytest

from pipeline.errors import UserError
from search.storage.lock import is_locked, is_running, study_lock, study_lock_in_database


def test_a_study_that_never_started_is_not_locked(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "study-1/lock")


def test_a_refused_study_leaves_its_folder_only_if_it_contains_files(tmp_path: Path) -> None:
    def refuse(folder: Path, leaves: str | None) -> None:
        with study_lock(folder):
            if leaves is not None:
                (folder / leaves).touch()
            raise UserError("refused")

    for name, leaves in (("empty", None), ("begun", "0-1.npz")):
        with pytest.raises(UserError, match="refused"):
            refuse(tmp_path / name, leaves)
    assert [path.name for path in tmp_path.iterdir()] == ["begun"]


def test_sqlite_has_no_lock_between_machines() -> None:
    """The lock in PostgreSQL is tested in test_database.py, on a real server."""
    storage = optuna.storages.RDBStorage("sqlite://")
    with study_lock_in_database("study-1", storage), study_lock_in_database("study-1", storage):
        assert is_running("study-1", storage) is None
