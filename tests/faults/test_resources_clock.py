"""A clock that jumps."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from pipeline.mlflow_server.connection import connect
from pipeline.tracking.killed_runs import close_killed_runs
from pipeline.tracking.live import track
from pipeline.tracking.local_log import read_local_log
from pipeline.tracking.publisher import MlflowPublisher
from pipeline.tracking.record import RunRecord
from tests.search.harness import StudyHarness

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of mlflow's own imports
DAY = 86_400
JUMPS = (0, DAY, -DAY, 365 * DAY, -3)  # seconds


@contextmanager
def jumping_clock() -> Iterator[None]:
    """Let the wall clock jump at each call within the block."""
    now, now_ns, jumps = time.time, time.time_ns, cycle(JUMPS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: now() + next(jumps))
        patch.setattr(time, "time_ns", lambda: now_ns() + next(jumps) * 10**9)
        yield


def test_a_clock_that_jumps_changes_no_study(tmp_path: Path) -> None:
    """If the clock of the machine jumps, a study ends like an undisturbed one.

    Lets the wall clock jump by up to a year, back and forth, at each call, while a study runs.
    """
    with jumping_clock():
        disturbed = StudyHarness(tmp_path / "disturbed", trials=9).run()
    assert disturbed == StudyHarness(tmp_path / "undisturbed", trials=9).run()


@pytest.mark.slow
def test_a_clock_that_jumps_loses_no_metric(tmp_path: Path, empty_database: Path) -> None:
    """If the clock jumps, each metric of each epoch is in MLflow once, and the run ends as FINISHED.

    Lets the wall clock jump while a training is tracked.
    """
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    with jumping_clock(), track(RunRecord("training", "0123456789abcdef", "jumps"), tmp_path) as run:
        for epoch in range(1, 6):
            run.log({"loss": 1 / epoch}, epoch)
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (found,) = client.search_runs([each.experiment_id for each in client.search_experiments()])
    assert found.info.status == "FINISHED"
    logged = client.get_metric_history(found.info.run_id, "train/loss")  # in the order of their times
    assert sorted(metric.step for metric in logged) == [1, 2, 3, 4, 5]


@pytest.mark.slow
def test_a_run_in_progress_stays_open_when_the_clock_was_set(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the clock was set, a run in progress is not taken for one of a killed process, whose number it has.

    Changes the time at which the system started according to the clock, then the start of the process in the log.
    """
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    started = psutil.boot_time()
    with track(RunRecord("training", "0123456789abcdef", "in progress"), tmp_path) as run:
        run.wait()
        monkeypatch.setattr("psutil._psplatform.boot_time", lambda: started + 100)
        publisher = MlflowPublisher(connect(tmp_path), tmp_path)
        assert close_killed_runs(publisher, tmp_path, exclude="") == 0
        log = read_local_log(tmp_path, "0123456789abcdef")
        log.process += "1"
        log.write(tmp_path)
        assert close_killed_runs(publisher, tmp_path, exclude="") == 1
