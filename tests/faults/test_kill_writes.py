"""Processes that end while they write: studies, files and folders."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import RDBStorage

from pipeline.data.training_data import TrainingData
from pipeline.files import new_folder, write_file
from search.study.checkpoints import RungCheckpoints
from search.study.job import Job, RungResult
from tests.conftest import ROOT
from tests.search.harness import StudyHarness, learn, recording
from tests.search.spaces import WIDE as EVERY_KEY
from tests.search.study.curves import LATENCY, learn_with_latency, rows

BUDGET = {"max_params": 14_000, "max_macs": None, "max_activation_mb": None, "max_latency_ms": None}


WRITES = (
    "create_new_trial",
    "set_trial_param",
    "set_trial_state_values",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
    "set_study_system_attr",
)


class Killed(BaseException):
    """Simulates SIGKILL: nothing catches it."""


def test_rungs_that_were_reported_are_not_trained_again(tmp_path: Path) -> None:
    """A rung that the study has recorded is not trained again.

    Ends the process in the third rung of a trial by an exception that nothing catches, and runs the study again.
    """
    jobs: list[Job] = []

    def die_in_the_third_rung(job: Job, data: TrainingData) -> RungResult:
        jobs.append(job)
        if job.until == 9:
            raise Killed
        return learn(job, data)

    with pytest.raises(Killed):
        StudyHarness(tmp_path, die_in_the_third_rung, trials=1, pruner="none").run()
    resumed: list[Job] = []

    StudyHarness(tmp_path, recording(resumed), trials=1, pruner="none").run()
    assert resumed == [jobs[-1]]


def kill_after_write(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Make the process die after the given number of writes to the storage."""
    left = [number]

    def deadly(write: Any) -> Any:
        def called(*arguments: Any, **more: Any) -> Any:
            result = write(*arguments, **more)
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return result

        return called

    for name in WRITES:
        monkeypatch.setattr(RDBStorage, name, deadly(getattr(RDBStorage, name)))


def learn_or_fail(job: Job, data: TrainingData) -> RungResult:
    """Learn or fail, depending on the architecture, with a latency that depends on the size of the network."""
    if job.architecture.blocks[0].filters == 6:
        return RungResult(failure="diverged", detail="the loss is NaN")
    return learn_with_latency(job, data) if job.measure_latency else learn(job, data)


# Studies to kill, each with the states that must occur among its trials.
KILLED_STUDIES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "budget": (
        {
            "trials": 6,
            "budget": BUDGET,
            "space": {
                "filters": {"choices": (4, 8, 16, 32)},
                "learning_rate": {"low": 0.001, "high": 0.1, "log": True},
            },
        },
        {"complete", "pruned", "infeasible"},
    ),
    "twins": (
        {
            "trials": 14,
            "max_failures": 14,
            "budget": LATENCY,
            "space": {"filters": {"choices": (4, 6, 8, 32)}, "kernel_size": {"choices": (3, 5)}},
        },
        {"complete", "pruned", "infeasible", "reused", "failed"},
    ),
    "front": (
        {"trials": 12, "objectives": ("val_accuracy", "params"), "space": EVERY_KEY, "fidelity": "both"},
        {"complete", "pruned"},
    ),
    "conditional": ({"trials": 10, "space": EVERY_KEY, "cost_aware": False}, {"complete", "pruned"}),
    "qmc": ({"trials": 10, "sampler": "qmc"}, {"complete", "pruned"}),
}


def killable(folder: Path, name: str) -> StudyHarness:
    return StudyHarness(folder, learn_or_fail if name == "twins" else learn, **KILLED_STUDIES[name][0])


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[str, list[str], int]]:
    """Return the table of an uninterrupted study, the states that it leaves, and its number of writes to storage."""

    @cache
    def uninterrupted(name: str) -> tuple[str, list[str], int]:
        writes = [0]

        def counted(write: Any) -> Any:
            def called(*arguments: Any, **more: Any) -> Any:
                writes[0] += 1
                return write(*arguments, **more)

            return called

        harness = killable(tmp_path_factory.mktemp(name), name)
        with pytest.MonkeyPatch.context() as patch:
            for method in WRITES:
                patch.setattr(RDBStorage, method, counted(getattr(RDBStorage, method)))
            table = harness.run()
        assert KILLED_STUDIES[name][1] <= {row["state"] for row in rows(table)}
        return table, states(harness), writes[0]

    return uninterrupted


def states(harness: StudyHarness) -> list[str]:
    return sorted(path.name.partition("-")[0] for path in (harness.folder / "states").glob("*"))


def points(writes: int, share: float) -> Iterator[int]:
    chosen = random.Random(0).sample(range(1, writes + 1), max(1, round(share * writes)))
    yield from sorted(chosen)


def check_killed_at(folder: Path, name: str, number: int, expected: tuple[str, list[str], int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        kill_after_write(patch, number)
        with pytest.raises(Killed):
            killable(folder, name).run()
    resumed = killable(folder, name)
    assert resumed.run() == expected[0], f"{name}, killed after write {number}"
    assert set(states(resumed)) <= set(expected[1]), f"{name}, killed after write {number}"


# The share of the writes after which the study is killed; each of them requires a new study.
SHARES = {"budget": 0.3, "twins": 0.1, "front": 0.05, "conditional": 0.03, "qmc": 0.15}


@pytest.mark.parametrize(
    ("name", "share"),
    [
        pytest.param(name, part * share, marks=mark)
        for part, mark in ((0.1, pytest.mark.slow), (1.0, pytest.mark.long))
        for name, share in SHARES.items()
    ],
)
def test_a_study_killed_after_any_write_ends_like_an_uninterrupted_one(
    tmp_path: Path, name: str, share: float, uninterrupted: Callable[[str], tuple[str, list[str], int]]
) -> None:
    """Between any two writes to its database, a study can be killed, and ends like one that was not.

    Ends the process after a write by an exception that nothing catches, for studies with budgets, duplicates, failures,
    several objectives, conditional spaces and another sampler. A sample of the writes in `make test`, a larger one in
    `make soak`.
    """
    expected = uninterrupted(name)
    for number in points(expected[2], share):
        check_killed_at(tmp_path / str(number), name, number, expected)


# Is killed when the new state is in a file, but is not yet on the disk.
KILLED = """
import os, signal, sys
from pathlib import Path
from search.study.checkpoints import RungCheckpoints

os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
RungCheckpoints(Path(sys.argv[1])).write(1, 3, b"new")
"""


def test_a_kill_while_a_state_is_written_leaves_the_old_one(tmp_path: Path) -> None:
    """A state that is being written when the study is killed leaves the old one intact. Its temporary file is removed
    later.

    Sends SIGKILL when the new state is in its temporary file, but not yet on the disk.
    """
    checkpoints = RungCheckpoints(folder := tmp_path / "states")
    checkpoints.write(1, 3, b"old")
    done = subprocess.run([sys.executable, "-c", KILLED, folder], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert checkpoints.read(1, 3) == b"old"
    assert len(list(folder.glob("1-3*"))) == 2  # with the unfinished file
    checkpoints.remove({1})
    assert not list(folder.glob("1-*"))


def test_a_folder_that_is_replaced_is_never_missing(tmp_path: Path) -> None:
    """A reader of a report that is being replaced finds the old one or the new one, and so does one after a kill.

    Looks for a folder while it is replaced 100 times, on a system that can exchange two folders.
    """
    folder, over = tmp_path / "reports", threading.Event()
    missing: list[bool] = []

    def read() -> None:
        while not over.is_set():
            missing.append(not folder.exists())

    with new_folder(folder):
        pass
    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(100):
        with new_folder(folder) as made:
            (made / "new").write_text("new")
    over.set()
    reader.join()
    assert not any(missing)
    assert [path.name for path in folder.iterdir()] == ["new"]


def test_processes_of_equal_number_write_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two containers that write one file of a shared folder leave one of the two contents, though both have one PID.

    Writes the file again while it is on its way to the disk.
    """
    flush = os.fsync

    def write_again(file: int) -> None:
        monkeypatch.setattr(os, "fsync", flush)
        write_file(tmp_path / "file", "other")
        flush(file)

    monkeypatch.setattr(os, "fsync", write_again)
    write_file(tmp_path / "file", "one")
    assert (tmp_path / "file").read_text() == "one"
    assert len(list(tmp_path.iterdir())) == 1
