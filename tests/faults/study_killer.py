"""Kills the processes of studies at random moments, resumes them, and compares them with an undisturbed study.

    python -m tests.faults.study_killer FOLDER KILLS SEED

prints one line of JSON. The driver and its two workers are forks of this process, so that a start takes no second.
"""

import json
import os
import random
import signal
import sqlite3
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import psutil
from sqlalchemy import Engine, event

from pipeline import files
from pipeline.data.training_data import TrainingData
from search.engine import process_engine
from search.engine.process_engine import ProcessEngine
from search.storage.lock import study_lock
from search.study.job import Job, RungResult
from tests.search.harness import StudyHarness
from tests.search.work import learn

TRIALS = 12
LONGEST = 0.35  # seconds between the start of a driver and its end; an undisturbed study takes longer

Rungs = set[tuple[int, int]]  # trials, by seed or by number, and the last epochs of rungs


def log_and_learn(job: Job, data: TrainingData, log: Path) -> RungResult:
    """Append the job to a log, and train for a moment."""
    with log.open("a") as file:
        file.write(f"{job.seed} {job.until}\n")
    time.sleep(0.002 + job.seed % 5 / 1000)
    return learn(job, data)


def in_itself(kind: str, countdown: int) -> None:
    """Let this process kill itself within a write to the database or to a state, or before a first rung."""
    left = [countdown]

    def count(*_: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    if kind == "within a transaction":
        event.listen(Engine, "commit", count)
    elif kind == "within a state":
        sync = os.fsync
        files.os.fsync = lambda file: (count(), sync(file))[1]  # type: ignore[attr-defined]
    elif kind == "before a first rung":
        submit = ProcessEngine.submit

        def deadly(engine: ProcessEngine, number: int, job: Job) -> None:
            if job.state is None:
                count()
            submit(engine, number, job)

        ProcessEngine.submit = deadly  # type: ignore[method-assign]


IN_ITSELF = ("within a transaction", "within a state", "before a first rung")
FROM_OUTSIDE = ("driver", "worker", "driver and workers", "SIGTERM", "SIGINT")


def drive(folder: Path, log: Path, kind: str, countdown: int) -> None:
    """Run the study to its end in this process, which is a fork; write its table and exit."""
    os.setpgid(0, 0)
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        process_engine._start_method = lambda: "fork"
        in_itself(kind, countdown)
        harness = StudyHarness(folder, trials=TRIALS, max_retries=100)
        with study_lock(folder / "states"):
            harness.engine = ProcessEngine(cast(TrainingData, None), 2, work=partial(log_and_learn, log=log))
            table = harness.run()
            harness.engine.close()
        (folder / "table.csv").write_text(table)
        status = 0
    except KeyboardInterrupt:
        status = 130
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(status)


def recorded(folder: Path) -> Rungs:
    """The rungs that the database contains, by the number of the trial. Their resources are epochs."""
    query = "SELECT number, step FROM trials JOIN trial_intermediate_values USING (trial_id)"
    if not (folder / "optuna.db").exists():
        return set()
    with closing(sqlite3.connect(folder / "optuna.db")) as database, suppress(sqlite3.OperationalError):
        return set(database.execute(query))
    return set()


def started(log: Path, seeds: dict[int, int]) -> Rungs:
    """The rungs that workers started, by the number of the trial."""
    lines = log.read_text().split("\n")[:-1] if log.exists() else []
    return {(seeds[int(seed)], int(until)) for seed, until in map(str.split, lines)}


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < until:
        time.sleep(0.002)
    return met


class Driver:
    """A driver in a process of its own."""

    def __init__(self, folder: Path, log: Path, kind: str = "", countdown: int = 0) -> None:
        self.status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            drive(folder, log, kind, countdown)

    def ended(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status is not None

    def is_alone(self) -> bool:
        """Return whether no worker is left of a driver that has ended."""
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def workers(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.pid).children()
        return []

    def kill(self, kind: str, numbers: random.Random) -> None:
        if kind == "driver and workers":
            os.killpg(self.pid, signal.SIGKILL)
        elif kind == "worker":
            with suppress(psutil.NoSuchProcess, IndexError):
                numbers.choice(self.workers()).kill()
        else:
            os.kill(self.pid, {"SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}.get(kind, signal.SIGKILL))


def seeds_of_trials(folder: Path) -> dict[int, int]:
    """The number of each trial, by the seed of its jobs."""
    import numpy as np

    seed = StudyHarness(folder, trials=TRIALS).params.seed
    return {int(np.random.SeedSequence([seed, number, 1]).generate_state(1)[0]): number for number in range(100)}


def kinds(numbers: random.Random) -> Iterator[str]:
    """Yield each kind of kill equally often, in random order."""
    while True:
        yield from numbers.sample((*FROM_OUTSIDE, *IN_ITSELF), len(FROM_OUTSIDE) + len(IN_ITSELF))


def killed(done: Counter[str]) -> int:
    """The number of kills with SIGKILL."""
    return done.total() - done["SIGTERM"] - done["SIGINT"]


def run(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill studies, one after the other, until `kills` of them were killed with SIGKILL; let the last one finish."""
    numbers, seeds = random.Random(seed), seeds_of_trials(folder)
    undisturbed = StudyHarness(folder / "undisturbed", trials=TRIALS)
    undisturbed.folder.mkdir()
    expected = undisturbed.run()
    done, lost, different, studies, doubled = Counter[str](), 0, 0, 0, 0
    statuses, left = Counter[int](), kinds(numbers)
    while killed(done) < kills:
        (study := folder / f"study-{studies}").mkdir()
        before: Rungs = set()
        for attempt in range(10_000):
            kind = next(left) if killed(done) < kills else ""
            log = study / f"log-{attempt}"
            driver = Driver(study, log, kind, numbers.randint(1, 6 if kind == "before a first rung" else 12))
            wait_until(driver.ended, numbers.uniform(0.01, LONGEST) if kind in FROM_OUTSIDE else 60)
            if kind in FROM_OUTSIDE and not driver.ended():
                driver.kill(kind, numbers)
            assert wait_until(driver.ended, 60), "the driver hangs"
            assert driver.status in (0, 130, -signal.SIGKILL, -signal.SIGTERM), driver.status
            assert wait_until(driver.is_alone, 60), "workers outlive the driver"
            if driver.status != 0 or kind == "worker":
                done[kind] += 1
            statuses[driver.status] += 1
            lost += len(started(log, seeds) & before)
            before = recorded(study)
            if driver.status == 0:
                break
        with closing(sqlite3.connect(study / "optuna.db")) as database:
            trials = [number for (number,) in database.execute("SELECT number FROM trials")]
        doubled += len(trials) - len(set(trials))
        different += (study / "table.csv").read_text() != expected
        studies += 1
    return {
        "kills": killed(done), "of each kind": done, "studies": studies, "finished rungs lost": lost,
        "trials counted twice": doubled, "studies that differ": different, "exit statuses": statuses,
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
