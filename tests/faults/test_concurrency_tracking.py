"""Several processes that start at the same moment, with one new tracking database or one workspace."""

import os
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import SMALL, Clone, clone

ROOT = Path(__file__).resolve().parents[2]
TRACK_RUN = """
from pathlib import Path
from pipeline.tracking.live import track
from pipeline.tracking.record import RunRecord
with track(RunRecord("training", "{key}", "training {key}"), Path(".")) as run:
    run.log({{"loss": 1.0}}, 1)
assert run.published
"""


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


@pytest.mark.parametrize("count", [pytest.param(3, marks=pytest.mark.slow), pytest.param(8, marks=pytest.mark.long)])
def test_concurrent_first_starts_share_one_new_database(tmp_path: Path, count: int) -> None:
    """Several processes that start at the same moment create one usable tracking database, which has all their runs.

    Starts 3 processes in folders of their own with the address of one database that does not exist; `make soak` 8.
    """
    folders = [tmp_path / str(number) for number in range(count)]  # as if several experiments started
    for folder in folders:
        folder.mkdir()
    shared = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    processes = [start(folder, TRACK_RUN.format(key=folder.name), **shared) for folder in folders]
    outputs = [process.communicate()[0] for process in processes]
    assert outputs == [""] * count
    assert [process.returncode for process in processes] == [0] * count
    assert runs(tmp_path / "mlflow.db") == [f"training {number}" for number in range(count)]
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        names = connection.execute("SELECT name FROM experiments ORDER BY experiment_id").fetchall()
    assert names == [("Default",), ("fovea",)]


@pytest.mark.long
def test_two_repros_in_one_workspace_do_each_other_no_harm(fresh_clone: Clone) -> None:
    """Of two `dvc repro` in one workspace, the second waits or ends with a clear message; the first one is complete.

    Starts `dvc repro prepare` twice at the same moment.
    """
    fresh_clone.edit_params({"  limit: ": "  limit: 400 "})
    processes = [
        subprocess.Popen(
            ["dvc", "repro", "prepare"],
            cwd=fresh_clone.root,
            env=fresh_clone.environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate()[0] for process in processes]
    assert 0 in [process.returncode for process in processes], outputs
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0 or re.search("another DVC process|is busy, it is being blocked by", output), (
            output
        )
        assert "Traceback" not in output
    assert "up to date" in fresh_clone.run("dvc", "status", "prepare").stdout


@pytest.mark.long
def test_two_queued_experiments_at_a_time_share_one_new_database(tmp_path: Path) -> None:
    """Experiments of DVC's queue that run two at a time share one new tracking database, and both finish.

    Queues two experiments in a workspace without a tracking database, with the address of a new one, and starts two
    workers of the queue.
    """
    made = clone(tmp_path / "project")
    made.edit_params(SMALL)
    made.edit_params({"  trials: 3 ": "  trials: 1 "})
    (made.root / "dvc.lock").unlink(missing_ok=True)
    made.run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qam", "Small")
    for rate in ("0.001", "0.002"):
        made.run("dvc", "exp", "run", "--queue", "-S", f"training.learning_rate={rate}")
    database = tmp_path / "shared/mlflow.db"
    subprocess.run(  # its workers keep the output open
        ["dvc", "queue", "start", "--jobs", "2"], cwd=made.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=made.environment(MLFLOW_TRACKING_URI=f"sqlite:///{database}"), check=True,
    )  # fmt: skip
    states: list[str] = []
    for _ in range(150):
        states = re.findall("Queued|Running|Success|Failed", made.run("dvc", "queue", "status").stdout)
        if not {"Queued", "Running"} & set(states):
            break
        time.sleep(2)
    made.run("dvc", "queue", "stop", "--kill")
    assert states == ["Success", "Success"]
    names = runs(database)
    assert len([name for name in names if name.startswith("train ")]) == 2, names
