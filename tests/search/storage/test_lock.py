"""Only one process at a time runs a study."""

import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from pipeline.errors import UserError
from search.storage.lock import is_locked, is_running, study_lock, study_lock_in_database
from tests.conftest import ROOT

HOLD = """
import sys, time
from pathlib import Path
from search.storage.lock import study_lock
with study_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_another_process_is_refused_until_the_first_one_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "study-1"
    with subprocess.Popen([sys.executable, "-c", HOLD, folder], cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert is_locked(folder / "lock")
        with pytest.raises(UserError, match="study-1: must be run by one process at a time"), study_lock(folder):
            pass
        holder.kill()
    assert not is_locked(folder / "lock")
    with study_lock(folder):
        assert is_locked(folder / "lock")


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
