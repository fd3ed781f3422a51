"""Stages that are killed at random moments."""

import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.killing import Forker, forker, kill_at_random, run
from tests.faults.small_project import OUTPUTS, require_equal_outputs

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def fork() -> Iterator[Forker]:
    with forker() as made:
        yield made


def count(project: Path, query: str) -> int:
    with sqlite3.connect(project / "mlflow.db") as database:
        return int(database.execute(f"select count(*) from {query}").fetchone()[0])


@pytest.mark.parametrize(("stage", "moments"), [("train", 40), ("evaluate", 25), ("register", 35)])
def test_a_stage_killed_at_random_moments_ends_in_the_same_bytes(
    finished: Path, fork: Forker, empty_database: Path, tmp_path: Path, stage: str, moments: int
) -> None:
    """A training, an evaluation or a registration that is killed at any moment goes on where it was: outputs have the
    same bytes, no finished epoch is trained again, each epoch is in MLflow once, there is one version with its alias,
    and no run stays RUNNING.

    Sends SIGKILL at 100 seeded random moments: 40 in `train`, 25 in `evaluate`, 35 in `register`, from a fresh MLflow
    database on.
    """
    project, log = shutil.copytree(finished, tmp_path / "project", symlinks=True), tmp_path / "log"
    seconds = run(fork, stage, project, tmp_path / "undisturbed")
    for path in (*project.glob("mlflow.db*"), *(project / output for output in OUTPUTS[f"pipeline.{stage}"])):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copy(empty_database, project / "mlflow.db")
    killed = kill_at_random(fork, stage, project, log, moments=moments, seconds=seconds, seed=1)
    assert killed > moments / 2
    require_equal_outputs(f"pipeline.{stage}", finished, lambda output: project / output)
    printed = log.read_text()
    assert "Traceback" not in printed
    assert count(project, "runs where status = 'RUNNING'") == 0
    if stage == "train":
        for query in ("runs", "metrics where key in ('val_accuracy', 'val_loss', 'loss')"):
            assert count(project, query) == count(finished, query)
        done = 0
        for resumed, epoch in re.findall(r"resuming after epoch (\d+)|epoch (\d+)/", printed):
            if resumed:
                assert int(resumed) >= done
            done = int(resumed or epoch)
    if stage == "register":
        assert count(project, "model_versions") == 1
        assert count(project, "registered_model_aliases where alias = 'champion' and version = 1") == 1
