"""Creation of a new database, by several processes at once and with interruption."""

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TRACK_RUN = """
from pathlib import Path
from pipeline.tracking.live import track
from pipeline.tracking.record import RunRecord
with track(RunRecord("training", "{key}", "training {key}"), Path(".")) as run:
    run.log({{"loss": 1.0}}, 1)
assert run.published
"""


@pytest.fixture(autouse=True)
def no_database(tmp_path: Path, own_database: None) -> None:
    (tmp_path / "mlflow.db").unlink()


def start(root: Path, code: str, **more: str) -> "subprocess.Popen[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=root,
        env=environment | {"PYTHONPATH": str(ROOT)} | more,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def runs(database: Path) -> list[str]:
    with sqlite3.connect(database) as connection:
        return sorted(name for (name,) in connection.execute("SELECT name FROM runs"))


@pytest.mark.slow
def test_three_concurrent_first_starts_share_one_new_database(tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(3)]  # as if three experiments started
    for folder in folders:
        folder.mkdir()
    shared = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    processes = [start(folder, TRACK_RUN.format(key=folder.name), **shared) for folder in folders]
    outputs = [process.communicate()[0] for process in processes]
    assert outputs == [""] * 3
    assert [process.returncode for process in processes] == [0] * 3
    assert runs(tmp_path / "mlflow.db") == [f"training {number}" for number in range(3)]
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        names = connection.execute("SELECT name FROM experiments ORDER BY experiment_id").fetchall()
    assert names == [("Default",), ("fovea",)]


@pytest.mark.slow
def test_a_killed_first_start_leaves_no_broken_database(tmp_path: Path) -> None:
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
