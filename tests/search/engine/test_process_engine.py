"""Studies in several real processes of this machine."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import psutil
import pytest

from pipeline.data.dataset import write_dataset
from pipeline.data.split import write_split
from pipeline.data.training_data import TrainingData
from pipeline.errors import UserError
from search.engine import process_engine
from search.engine.process_engine import ProcessEngine
from search.study.job import Job, RungFunction, RungResult, train_rung
from tests.pipeline.training.trainings import PLAIN, ROOT, figures, training
from tests.search.harness import StudyHarness
from tests.search.work import (
    broken,
    broken_at_the_end_of_a_file,
    broken_oddly,
    die,
    die_once,
    finish,
    hang,
    leak_memory,
    learn,
    slow_baseline,
    slow_learn,
)

pytestmark = pytest.mark.slow
NOTHING = cast(TrainingData, None)
JOB = Job(PLAIN, training(), seed=1, shares=(1.0, 1.0, 1.0), until=1, state=None)


# Starts an engine with two jobs, and prints the process IDs of its processes.
SCRIPT = """
from search.engine.process_engine import ProcessEngine
from tests.search.engine.test_process_engine import JOB
from tests.search.work import hang
if __name__ == "__main__":
    engine = ProcessEngine(None, 2, work=hang)
    engine.submit(0, JOB)
    engine.submit(1, JOB)
    print(*(worker.process.pid for worker in engine._workers), flush=True)
    engine.wait(0)
"""


@pytest.fixture
def engines() -> Iterator[list[ProcessEngine]]:
    """Engines that a test creates; they are closed after it, and leave no process behind."""
    made: list[ProcessEngine] = []
    yield made
    for engine in made:
        engine.close()
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_processes_produces_the_study_of_one(
    tmp_path: Path, engines: list[ProcessEngine], workers: int
) -> None:
    (tmp_path / "seen").mkdir()
    expected = StudyHarness(tmp_path / "inline", trials=10).run()
    harness = StudyHarness(tmp_path / "processes", trials=10)
    work = partial(slow_learn, folder=tmp_path / "seen", workers=workers)
    harness.engine = ProcessEngine(NOTHING, workers, work=work)
    engines.append(harness.engine)
    assert harness.run() == expected
    assert len(list((tmp_path / "seen").iterdir())) == workers  # which are reused


def test_a_killed_process_does_not_change_the_study(tmp_path: Path, engines: list[ProcessEngine]) -> None:
    harness = StudyHarness(tmp_path / "processes", trials=6)
    harness.engine = ProcessEngine(NOTHING, 2, work=partial(die_once, flag=tmp_path / "flag"))
    engines.append(harness.engine)
    assert harness.run() == StudyHarness(tmp_path / "inline", trials=6).run()
    assert (tmp_path / "flag").exists()


def test_a_trial_that_always_loses_its_process_fails(tmp_path: Path, engines: list[ProcessEngine]) -> None:
    harness = StudyHarness(tmp_path, trials=1, max_retries=1, max_failures=0)
    harness.engine = ProcessEngine(NOTHING, 1, work=die)
    engines.append(harness.engine)
    with pytest.raises(UserError, match=r"trial 0: worker_lost: its process ended with SIGKILL"):
        harness.run()


def test_a_process_whose_memory_grows_is_replaced_without_changing_the_study(
    tmp_path: Path, engines: list[ProcessEngine]
) -> None:
    (tmp_path / "seen").mkdir()
    harness = StudyHarness(tmp_path / "processes", trials=3, pruner="none")
    harness.engine = ProcessEngine(NOTHING, 1, work=partial(leak_memory, folder=tmp_path / "seen"))
    engines.append(harness.engine)
    assert harness.run() == StudyHarness(tmp_path / "inline", trials=3, pruner="none").run()
    assert len(list((tmp_path / "seen").iterdir())) > 1


def test_a_rung_over_its_time_limit_is_cancelled_by_force(tmp_path: Path, engines: list[ProcessEngine]) -> None:
    harness = StudyHarness(tmp_path, trials=1, max_failures=0)
    harness.engine = ProcessEngine(NOTHING, 1, timeout_seconds=0.6, work=hang)
    engines.append(harness.engine)
    with pytest.raises(UserError, match=r"trial 0: timed_out: a rung took longer than search\.rung_timeout_minutes"):
        harness.run()


def test_a_bug_in_a_process_stops_the_study_with_its_own_exception_and_traceback(
    tmp_path: Path, engines: list[ProcessEngine]
) -> None:
    harness = StudyHarness(tmp_path)
    harness.engine = ProcessEngine(NOTHING, 1, work=broken)
    engines.append(harness.engine)
    with pytest.raises(ZeroDivisionError, match="a bug") as caught:
        harness.run()
    assert 'raise ZeroDivisionError("a bug")' in "".join(caught.value.__notes__)


@pytest.mark.parametrize(
    ("work", "error", "message"),
    [(broken_oddly, RuntimeError, "Unpicklable: 1 of 2"), (broken_at_the_end_of_a_file, EOFError, "a bug")],
)
def test_a_bug_is_not_mistaken_for_a_lost_process(
    engines: list[ProcessEngine], work: RungFunction, error: type[Exception], message: str
) -> None:
    engine = ProcessEngine(NOTHING, 1, work=work)
    engines.append(engine)
    engine.submit(0, JOB)
    with pytest.raises(error, match=message):
        engine.wait(0)


def test_processes_start_after_the_process_was_killed_from_which_they_are_forked(engines: list[ProcessEngine]) -> None:
    engine = ProcessEngine(NOTHING, 1, work=die_with_seed_0)
    engines.append(engine)
    engine.submit(0, JOB)
    assert engine.wait(0)[1].failure is None
    alive = [each for each in psutil.Process().children() if each.status() != psutil.STATUS_ZOMBIE]
    (server,) = [each for each in alive if "forkserver" in " ".join(each.cmdline())]
    server.kill()
    while server.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    engine.submit(1, replace(JOB, seed=0))
    assert engine.wait(1)[1].failure == "worker_lost"
    engine.submit(2, JOB)
    assert engine.wait(2)[1].failure is None


@pytest.mark.parametrize("synchronous", [True, False])
def test_a_free_process_gets_work_immediately_unless_the_study_is_synchronous(
    tmp_path: Path, engines: list[ProcessEngine], synchronous: bool
) -> None:
    (tmp_path / "seen").mkdir()
    harness = StudyHarness(
        tmp_path, trials=6, synchronous=synchronous, concurrency=2, pruner="none", cost_aware=False,
        space={"learning_rate": {"low": 0.001, "high": 0.1, "log": True}},
    )  # fmt: skip
    rate, others = harness.params.training.learning_rate, 0 if synchronous else 5
    work = partial(slow_baseline, rate=rate, folder=tmp_path / "seen", others=others)
    harness.engine = ProcessEngine(NOTHING, 2, work=work)
    engines.append(harness.engine)
    ended = [result.number for result in harness.driver().run()]
    assert sorted(ended) == list(range(6))
    assert ended.index(0) < 2 if synchronous else ended.index(0) >= 4


SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def expected_results() -> list[RungResult]:
    """Trained one after the other, in a new process: TensorFlow may use other threads here, which change the sums."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(train_rung, [replace(JOB, seed=seed) for seed in SEEDS], [figures()] * len(SEEDS)))


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_real_trainings_give_the_results_of_a_single_process(
    tmp_path: Path,
    engines: list[ProcessEngine],
    monkeypatch: pytest.MonkeyPatch,
    expected_results: list[RungResult],
    method: str,
) -> None:
    data = figures()
    write_dataset(data.dataset, tmp_path / "dataset.json")
    for split in (data.train, data.val):
        write_split(split, tmp_path / split.name)
    monkeypatch.setattr(process_engine, "_start_method", lambda: method)
    engine = ProcessEngine(data, 2, folder=tmp_path)
    engines.append(engine)
    for number, seed in enumerate(SEEDS):
        engine.submit(number, replace(JOB, seed=seed))
    for number in (2, 0, 1):
        found, result = engine.wait(number)
        assert found == number
        assert replace(result, seconds=0.0) == replace(expected_results[number], seconds=0.0)


def test_a_process_refuses_data_that_have_changed_since_the_study_began(
    tmp_path: Path, engines: list[ProcessEngine]
) -> None:
    data, other = figures(), figures(train=40)
    write_dataset(other.dataset, tmp_path / "dataset.json")
    for split in (other.train, other.val):
        write_split(split, tmp_path / split.name)
    engine = ProcessEngine(data, 1, work=learn, folder=tmp_path)
    engines.append(engine)
    engine.submit(0, JOB)
    with pytest.raises(
        UserError, match=r"the prepared data have changed since the study began; run `fovea search` again$"
    ):
        engine.wait(0)


def die_with_seed_0(job: Job, data: TrainingData) -> RungResult:
    return die(job, data) if job.seed == 0 else learn(job, data)


def has_tensorflow(job: Job, data: TrainingData) -> RungResult:
    return RungResult(detail=str("tensorflow" in sys.modules))


def test_processes_are_forks_of_one_that_has_imported_tensorflow(tmp_path: Path) -> None:
    (script := tmp_path / "script.py").write_text(
        SCRIPT.replace("hang", "has_tensorflow")
        .replace("tests.search.work", "tests.search.engine.test_process_engine")
        .replace("engine.wait(0)", "print(engine.wait(0)[1].detail)")
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split()[-1:] == ["True"], done.stderr


def test_a_process_that_dies_without_a_job_costs_no_retry(tmp_path: Path, engines: list[ProcessEngine]) -> None:
    engine = ProcessEngine(NOTHING, 1, work=learn)
    engines.append(engine)
    engine.submit(0, JOB)
    engine.wait(0)
    (worker,) = engine._workers
    worker.process.kill()
    worker.process.join()
    engine.submit(1, JOB)
    assert engine.wait(1)[1] == learn(JOB, NOTHING)


def test_replaced_processes_leave_no_open_files(engines: list[ProcessEngine]) -> None:
    engine = ProcessEngine(NOTHING, 1, work=die)
    engines.append(engine)
    before = psutil.Process().num_fds()
    for number in range(5):
        engine.submit(number, JOB)
        assert engine.wait(number)[1].failure == "worker_lost"
    assert psutil.Process().num_fds() <= before + 4  # of the process that started last


def test_a_process_that_takes_too_long_to_start_is_given_up(
    engines: list[ProcessEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_engine, "MAX_START_SECONDS", 0.0)
    engine = ProcessEngine(NOTHING, 1, work=finish)
    engines.append(engine)
    engine.submit(0, JOB)
    with pytest.raises(UserError, match="a worker cannot start: it was not ready after 0 s; use fewer workers"):
        engine.wait(0)


def test_there_is_at_most_one_process_for_each_gpu(
    engines: list[ProcessEngine], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(process_engine, "visible_gpus", lambda: ["2", "GPU-3"])
    engine = ProcessEngine(NOTHING, 4, work=partial(slow_learn, folder=tmp_path, workers=2))
    engines.append(engine)
    for number in range(6):
        engine.submit(number, replace(JOB, seed=number))
    for number in range(6):
        engine.wait(number)
    seen = [json.loads(path.read_text())["CUDA_VISIBLE_DEVICES"] for path in tmp_path.iterdir()]
    assert sorted(seen) == ["2", "GPU-3"]


def test_processes_that_never_start_are_given_up(engines: list[ProcessEngine], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_engine, "serve", os._exit)
    engine = ProcessEngine(NOTHING, 1, work=finish)
    engines.append(engine)
    engine.submit(0, JOB)
    with pytest.raises(UserError, match="a worker cannot start: its process ended with exit status 1; use fewer "):
        engine.wait(0)


@pytest.mark.parametrize("ended_by", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_processes_end_with_the_one_that_started_them(tmp_path: Path, ended_by: signal.Signals) -> None:
    (script := tmp_path / "script.py").write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, str(script)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as driver:
        assert driver.stdout is not None
        workers = [psutil.Process(int(pid)) for pid in driver.stdout.readline().split()]
        assert len(workers) == 2
        time.sleep(1.0)
        driver.send_signal(ended_by)
        driver.wait(30)
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert alive == []


def test_the_results_of_a_process_are_not_mixed_up(engines: list[ProcessEngine]) -> None:
    engine = ProcessEngine(NOTHING, 2, work=learn)
    engines.append(engine)
    jobs = {number: replace(JOB, seed=number) for number in range(8)}
    for number, job in jobs.items():
        engine.submit(number, job)
    found: dict[int, RungResult] = {}
    while len(found) < len(jobs):
        number, result = engine.wait(None)
        found[number] = result
    assert found == {number: learn(job, NOTHING) for number, job in jobs.items()}
