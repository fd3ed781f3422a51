"""Damage to the stored states of trainings, and files of others among them."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.training_data import TrainingData
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.history import EpochMetrics
from pipeline.training.state import State, pack
from search.study.job import Job, RungResult
from tests.faults.special_files import pipe
from tests.search.harness import StudyHarness, learn, recording


class Killed(BaseException):
    """Simulates SIGKILL: nothing catches it."""


def die_in_the_last_rung(job: Job, data: TrainingData) -> RungResult:
    if job.until == 9:
        raise Killed
    return learn(job, data)


def study(folder: Path, work: Callable[[Job, TrainingData], RungResult] = learn) -> StudyHarness:
    return StudyHarness(folder, work, trials=1, pruner="none")


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A study that was killed in the last rung of its first trial, and the table of the undisturbed study."""
    folder = tmp_path_factory.mktemp("killed")
    with pytest.raises(Killed):
        study(folder, die_in_the_last_rung).run()
    return folder, study(tmp_path_factory.mktemp("undisturbed")).run()


def altered(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def linked(path: Path) -> None:
    """Replace a file by a link to a file that cannot be read from its start."""
    path.unlink()
    path.symlink_to("/proc/self/mem")


def both(folder: Path, damage: Callable[[Path], object]) -> None:
    for name in ("0-1.npz", "0-3.npz"):
        damage(folder / name)


# What is done to the states after the first and the second rung, after which epoch the training goes on, and how many
# files are named.
STATES: dict[str, tuple[Callable[[Path], object], int, int]] = {
    "no damage": (lambda folder: None, 3, 0),
    "a truncated state": (lambda folder: (folder / "0-3.npz").write_bytes(b"12345"), 1, 1),
    "an empty state": (lambda folder: (folder / "0-3.npz").write_bytes(b""), 1, 1),
    "a changed bit": (lambda folder: altered(folder / "0-3.npz", -1), 1, 1),
    "a changed digest": (lambda folder: altered(folder / "0-3.npz", 3), 1, 1),
    "a state of another trial": (lambda folder: shutil.copy(folder / "0-1.npz", folder / "0-3.npz"), 1, 1),
    "a state of 100 GB": (lambda folder: os.truncate(folder / "0-3.npz", 100 << 30), 1, 1),
    "a link to the memory": (lambda folder: linked(folder / "0-3.npz"), 1, 1),
    "no last state": (lambda folder: (folder / "0-3.npz").unlink(), 1, 0),
    "two damaged states": (lambda folder: both(folder, lambda path: altered(path, -1)), 0, 2),
    "no states": (lambda folder: both(folder, Path.unlink), 0, 0),
    "foreign files": (lambda folder: [(folder / name).write_text("?") for name in ("x", "x-1", "1-x.npz", "-")], 3, 0),
    "foreign folders": (lambda folder: [(folder / name).mkdir() for name in ("trial-7", "0-2.npz", "0-9")], 3, 0),
}


@pytest.mark.parametrize("what", STATES)
def test_a_study_goes_on_from_the_state_before_a_damaged_one(
    killed: tuple[Path, str], tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    """A study recognises a damaged state, says so in one line, and goes on from the one before it, to the same end.

    Truncates, alters, removes and exchanges the states of a killed study, makes one huge or a link to a device, puts
    foreign files and folders among them, and resumes it.
    """
    damage, epoch, named = STATES[what]
    folder = shutil.copytree(killed[0], tmp_path / "killed")
    assert {path.name for path in (folder / "states").iterdir()} == {"0-1.npz", "0-3.npz"}
    damage(folder / "states")
    jobs: list[Job] = []
    assert study(folder, recording(jobs)).run() == killed[1]
    assert jobs[0].until == 9
    assert jobs[0].state == (json.dumps([jobs[0].seed, epoch]).encode() if epoch else None)
    said = [record.getMessage() for record in caplog.records if "damaged" in record.getMessage()]
    assert len(said) == named
    assert all("damaged; trial 0 repeats this rung" in line for line in said)


def state_after(epoch: int, key: str = "mine") -> bytes:
    history = tuple(EpochMetrics(number, *[0.5] * 7) for number in range(1, epoch + 1))
    weights = [np.full((3, 4), epoch, np.float32)]
    return pack(State(key, history, weights, weights))


# What is done to the last state of a training, and what is said.
CHECKPOINTS: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "no damage": (lambda path: None, 3, ""),
    "a truncated state": (lambda path: path.write_bytes(path.read_bytes()[:100]), 2, "using the state before it"),
    "a changed bit": (lambda path: altered(path, 200), 2, "using the state before it"),
    "a state of 100 GB": (lambda path: os.truncate(path, 100 << 30), 2, "using the state before it"),
    "a link to the memory": (lambda path: linked(path), 2, "using the state before it"),
    "a pipe": (pipe, 2, "using the state before it"),
    "another training": (lambda path: path.write_bytes(state_after(9, "other")), 2, "using the state before it"),
    "no last state": (lambda path: path.unlink(), 2, ""),
    "two damaged states": (
        lambda path: [each.write_bytes(b"?") for each in (path, path.with_suffix(".previous"))],
        0,
        "restarting the training",
    ),
    "no states": (lambda path: [each.unlink() for each in (path, path.with_suffix(".previous"))], 0, ""),
}


@pytest.mark.parametrize("what", CHECKPOINTS)
def test_a_training_goes_on_from_the_state_before_a_damaged_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    """A training recognises a damaged state, says so in one line, and goes on from the one an epoch before.

    Truncates, alters, removes and exchanges the states of a training after its third epoch, makes one huge, and puts a
    link to a device and a named pipe in its place.
    """
    damage, epoch, said = CHECKPOINTS[what]
    checkpoint = Checkpoint(path := tmp_path / "key.npz", "mine")
    for number in (1, 2, 3):
        checkpoint.write(state_after(number))
    damage(path)
    state, history = checkpoint.read()
    assert (state, len(history)) == (state_after(epoch) if epoch else None, epoch)
    assert all(said in record.getMessage() for record in caplog.records)
    assert bool(caplog.records) == bool(said)
    checkpoint.remove()
    assert not list(tmp_path.iterdir())
