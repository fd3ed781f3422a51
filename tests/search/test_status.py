"""The status of a study, read while another process runs it."""

import fcntl
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from optuna.exceptions import StorageInternalError

from pipeline.data.training_data import TrainingData
from pipeline.errors import UserError
from search.engine.inline import InlineEngine
from search.status import Status, open_to_read, watch_status
from search.study.finalists import FinalTrainings, finalists_of
from search.study.job import Job, RungResult
from search.study.results import TrialResult
from tests.search.harness import StudyHarness, learn
from tests.search.project import SMALL, Make

REPORTS = Path("reports/search")
# Settings for candidates of equal cost, trained one after another.
EQUAL = {"space": {"learning_rate": {"low": 0.001, "high": 0.1, "log": True}}, "concurrency": 1, "pruner": "none"}


def status_of(harness: StudyHarness, lock: Path | None = None, cached_results: Any = None) -> Status:
    """The status, read through a separate connection."""
    address = f"sqlite:///{harness.folder}/optuna.db"
    study = open_to_read(f"study-{harness.settings.trials}", address)
    return Status(study, harness.config, lock, cached_results or {})


def text_of(status: Status) -> str:
    standing = status.read()
    return status.text(standing, REPORTS)


def start_study(harness: StudyHarness, ended: int) -> Iterator[TrialResult]:
    """Run a study until some trials have ended; return the iterator over the others."""
    running = harness.driver().run()
    for _ in range(ended):
        next(running)
    return running


def content(harness: StudyHarness) -> list[str]:
    connection = sqlite3.connect(harness.folder / "optuna.db")
    dump = list(connection.iterdump())
    connection.close()
    return dump


def test_without_a_database_the_error_says_how_to_start_and_none_is_created(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"study-5: no such study in .*; start it with `fovea search`"):
        status_of(StudyHarness(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "address", ["postgresql+psycopg://me:sesame/db", "postgresql+psycopg://me:sesame@host:open/db"]
)
def test_an_invalid_port_is_reported_without_the_password(address: str) -> None:
    with pytest.raises(UserError, match=r"must be a database that can be opened.*the port is not a number") as caught:
        open_to_read("study-5", address)
    assert "sesame" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_driver_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="install the driver"):
        open_to_read("study-5", "mysql+nosuchdriver://me@host/db")


def test_watching_ends_with_the_process_that_ran_the_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    harness = StudyHarness(tmp_path, trials=8)
    start_study(harness, 2)
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        checks: list[int] = []

        def pause() -> None:
            checks.append(len(checks))
            if len(checks) == 2:
                fcntl.flock(lock, fcntl.LOCK_UN)
            assert len(checks) < 5

        watch_status(status_of(harness, tmp_path / "lock"), REPORTS, pause)
    assert checks == [0, 1]
    assert "no process is running the study" in capsys.readouterr().out


def test_an_empty_database_stays_empty(tmp_path: Path) -> None:
    (tmp_path / "optuna.db").touch()
    with pytest.raises(UserError, match="no such study"):
        status_of(StudyHarness(tmp_path))
    assert (tmp_path / "optuna.db").read_bytes() == b""


def test_a_study_with_another_number_of_trials_is_not_used(tmp_path: Path) -> None:
    StudyHarness(tmp_path, trials=2).run()
    with pytest.raises(UserError, match="study-3: no such study"):
        status_of(StudyHarness(tmp_path, trials=3))


def test_a_study_is_read_while_it_is_written_and_is_not_changed(tmp_path: Path) -> None:
    harness = StudyHarness(tmp_path, trials=8)
    running = start_study(harness, 2)
    status, before = status_of(harness), content(harness)
    text = text_of(status)
    assert content(harness) == before
    assert text.startswith("study-8: 2 of 8 trials done\n")
    assert re.search(r"^  running: trial +\d+  rung \d of 3, epochs \d to \d of 9, since \d{4}-\d\d-\d\d ", text, re.M)
    assert re.search(r"^time left: about .* \(rough estimate\)$", text, re.M)
    assert "reports/search" in text.splitlines()[-1]
    next(running)
    assert text_of(status).startswith("study-8: 3 of 8 trials done\n")
    with pytest.raises(StorageInternalError):
        status.study.set_user_attr("touched", True)


@pytest.mark.slow
def test_waiting_candidates_are_distinguished_from_those_in_training(tmp_path: Path) -> None:
    harness = StudyHarness(tmp_path, trials=12, space={"filters": {"choices": (4, 64)}, "kernel_size": [3, 5]})
    start_study(harness, 1)
    standing = status_of(harness).read()
    unfinished = {result.number for result in standing.results if result.state == "running"}
    lines = text_of(status_of(harness)).splitlines()
    assert len([line for line in lines if line.startswith("  running: ")]) == len(unfinished & standing.started)
    assert len([line for line in lines if line.startswith("  waiting: ")]) == len(unfinished - standing.started)
    assert unfinished - standing.started


@pytest.mark.slow
def test_failures_are_counted_by_class_and_listed_individually(tmp_path: Path) -> None:
    def diverge(job: Job, data: TrainingData) -> RungResult:
        if job.training.learning_rate > 0.01:
            return RungResult(failure="diverged", detail="epoch 1: the loss is nan")
        return learn(job, data)

    harness = StudyHarness(tmp_path, diverge, trials=6, max_failures=6)
    harness.run()
    text = text_of(status_of(harness))
    printed = re.findall(r"^failed: trial \d+: diverged: epoch 1: the loss is nan$", text, re.M)
    assert printed
    assert f"{len(printed)} failed (diverged)" in text.splitlines()[1]


@pytest.mark.slow
def test_a_completed_study_is_over(tmp_path: Path) -> None:
    harness = StudyHarness(tmp_path)
    harness.run()
    status = status_of(harness)
    assert status.is_over(status.read())
    text = text_of(status)
    assert text.startswith("study-5: 5 of 5 trials done\n  ")
    assert "best so far: trial " in text
    assert "time left: none, the study has ended" in text


def test_a_study_is_over_when_too_many_trials_failed(tmp_path: Path) -> None:
    harness = StudyHarness(tmp_path, lambda job, data: RungResult(failure="timed_out", detail="slow"), max_failures=1)
    with pytest.raises(UserError):
        harness.run()
    status = status_of(harness)
    assert status.is_over(status.read())
    assert "2 failed (timed_out)" in text_of(status)
    assert "best so far: no complete trial yet" in text_of(status)


@pytest.mark.slow
def test_the_time_left_is_unknown_without_a_driver(tmp_path: Path) -> None:
    harness = StudyHarness(tmp_path)
    start_study(harness, 1)
    path = tmp_path / "lock"
    assert "time left: unknown, no process is running the study" in text_of(status_of(harness, path))
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "time left: about" in text_of(status_of(harness, path))
    assert "time left: unknown, no process is running the study" in text_of(status_of(harness, path))


def test_the_time_left_is_printed_as_a_rough_estimate(tmp_path: Path) -> None:
    harness = StudyHarness(tmp_path, trials=4, **EQUAL)
    start_study(harness, 1)
    text = text_of(status_of(harness))
    assert text.splitlines()[-2] == "time left: about 9 seconds (rough estimate)"


@pytest.mark.slow
def test_no_time_left_is_estimated_before_anything_was_trained(tmp_path: Path) -> None:
    harness = StudyHarness(tmp_path, trials=4, **EQUAL)
    start_study(harness, 1)
    result = status_of(harness).read().results[0]
    status = status_of(harness, cached_results={(0, result.candidate.digest): RungResult(result.history)})
    assert "time left: unknown, no training time has been measured yet" in text_of(status)


def test_a_study_is_over_after_the_trainings_of_its_finalists(tmp_path: Path) -> None:
    finalists = {"count": 2, "seeds": 2, "cross_validation": True}
    harness = StudyHarness(tmp_path, trials=4, **EQUAL | {"finalists": finalists})
    driver = harness.driver()
    for _ in driver.run():
        pass
    status = status_of(harness)
    assert not status.is_over(status.read())
    total = 2 * len(finalists_of(driver.ended(), harness.config))
    assert f"finalists: 0 of {total} training runs done" in status.text(status.read(), REPORTS)
    assert harness.study is not None
    engine = InlineEngine(cast(TrainingData, None), work=learn)
    for _ in FinalTrainings(harness.config, harness.study, engine, {}).run(driver.ended()):
        pass
    assert status.is_over(status.read())
    assert f"finalists: {total} of {total} training runs done" in status.text(status.read(), REPORTS)


def test_without_a_terminal_each_change_is_printed_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    harness = StudyHarness(tmp_path, trials=3, **EQUAL)
    running, pauses = start_study(harness, 1), iter(range(100))

    def pause() -> None:
        if next(pauses) % 2:  # nothing happens every other time
            next(running, None)

    watch_status(status_of(harness), REPORTS, pause)
    output = capsys.readouterr().out
    assert [output.count(f"study-3: {done} of 3 trials done") for done in (1, 2, 3)] == [1, 1, 1]


def test_ctrl_c_ends_watching_without_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    harness = StudyHarness(tmp_path)
    start_study(harness, 1)
    watch_status(status_of(harness), REPORTS, stop)
    assert "1 of 5 trials done" in capsys.readouterr().out


@pytest.mark.slow
def test_the_status_of_a_killed_search_is_read_without_tensorflow(tmp_path: Path, make: Make) -> None:
    project = make(tmp_path, SMALL | {"  trials: 40 ": "  trials: 9 "})
    project.kill_after("trial ")
    command = [sys.executable, "-X", "importtime", "-m", "pipeline.cli", "status"]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.match(r"study-[0-9a-f]{16}-9: \d of 9 trials done\n", done.stdout)
    assert "time left: unknown, no process is running the study; resume it with `fovea search`" in done.stdout
    assert not re.search(r"\| +(tensorflow|keras|mlflow)$", done.stderr, re.M)
