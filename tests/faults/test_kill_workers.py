"""Workers of a study that are killed or stopped."""

import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import psutil
import pytest

from pipeline.data.training_data import TrainingData
from search.engine import process_engine
from search.engine.process_engine import ProcessEngine
from search.study.job import Job, RungResult
from tests.pipeline.training.trainings import PLAIN, training
from tests.search.work import learn

NOTHING = cast(TrainingData, None)
JOB = Job(PLAIN, training(), seed=1, shares=(1.0, 1.0, 1.0), until=1, state=None)


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ProcessEngine]]:
    """Engines that a test creates, whose processes do not import TensorFlow."""
    monkeypatch.setattr(process_engine, "preload", lambda: None)
    monkeypatch.setattr(process_engine, "_start_method", lambda: "spawn")
    made: list[ProcessEngine] = []
    yield made
    for engine in made:
        engine.close()


def wait_and_learn(job: Job, data: TrainingData, flag: Path) -> RungResult:
    """Create a file, and learn once the file is removed; the state is larger than the buffer of a connection."""
    if job.seed:
        flag.touch()
        while flag.exists():
            time.sleep(0.01)
    return replace(learn(job, data), state=bytes(2**22))


def worker_of(engine: ProcessEngine) -> psutil.Process:
    return psutil.Process(engine._workers[0].process.pid)


def wait_for(flag: Path) -> None:
    until = time.monotonic() + 60
    while not flag.exists():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_the_late_result_of_a_stopped_worker_is_discarded(tmp_path: Path, engines: list[ProcessEngine]) -> None:
    """A worker that is stopped for longer than the time limit of a rung counts as timed out. Its late result is
    discarded, and the next rung runs in a new worker.

    Sends SIGSTOP to a worker in the middle of a rung, waits for the limit, and sends SIGCONT.
    """
    engine = ProcessEngine(NOTHING, 1, timeout_seconds=1.5, work=partial(wait_and_learn, flag=tmp_path / "flag"))
    engines.append(engine)
    engine.submit(0, replace(JOB, seed=0))
    assert engine.wait(0)[1].failure is None  # the worker has started
    engine.submit(1, JOB)
    wait_for(tmp_path / "flag")
    stopped = worker_of(engine)
    stopped.suspend()
    (tmp_path / "flag").unlink()
    assert engine.wait(1)[1].failure == "timed_out"
    with pytest.raises(psutil.NoSuchProcess):
        stopped.send_signal(signal.SIGCONT)
    engine.submit(2, replace(JOB, seed=0))
    assert engine.wait(2)[1].history == learn(replace(JOB, seed=0), NOTHING).history


@pytest.mark.parametrize("when", ["before it receives a job", "while it sends a result"])
def test_a_worker_stopped_within_a_transfer_is_replaced(
    tmp_path: Path, engines: list[ProcessEngine], monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """A worker that is stopped while a job or a result is transferred does not make the study hang: it is replaced.

    Sends SIGSTOP to an idle worker, or while it sends a state of 4 MiB, and gives it no SIGCONT.
    """
    monkeypatch.setattr(process_engine, "MAX_TRANSFER_SECONDS", 1)
    engine = ProcessEngine(NOTHING, 1, work=partial(wait_and_learn, flag=tmp_path / "flag"))
    engines.append(engine)
    engine.submit(0, replace(JOB, seed=0))
    assert engine.wait(0)[1].failure is None
    stopped = worker_of(engine)
    if when == "before it receives a job":
        stopped.suspend()
        engine.submit(1, replace(JOB, seed=0, state=bytes(2**22)))
        assert engine.wait(1)[1].history
    else:
        engine.submit(1, JOB)
        wait_for(tmp_path / "flag")
        (tmp_path / "flag").unlink()
        time.sleep(0.5)  # it has sent the beginning, and waits for the engine to read
        stopped.suspend()
        assert engine.wait(1)[1].failure == "worker_lost"
    assert not stopped.is_running()
