"""Processes that are killed while they use the tracking database."""

import time
from pathlib import Path

import pytest

from tests.faults.test_concurrency_tracking import TRACK_RUN, runs, start


@pytest.mark.slow
def test_a_killed_first_start_leaves_no_broken_database(tmp_path: Path) -> None:
    """A process that is killed while it creates the tracking database leaves none that is half finished.

    Kills a process with SIGKILL when some tables exist, and starts another one.
    """
    process = start(tmp_path, TRACK_RUN.format(key="killed"))
    draft = tmp_path / "mlflow.db.new"
    while not (draft.exists() and draft.stat().st_size > 50_000):  # some tables exist
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.002)
    process.kill()
    process.communicate()
    assert not (tmp_path / "mlflow.db").exists()
    process = start(tmp_path, TRACK_RUN.format(key="second"))
    assert (process.communicate()[0], process.returncode) == ("", 0)
    assert runs(tmp_path / "mlflow.db") == ["training second"]
