"""`dvc repro` that is killed while a stage runs, or while DVC commits outputs."""

import os
import random
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Clone, clone
from tests.faults.small_project import shrink

KILLS = 8


def start(project: Clone) -> "subprocess.Popen[bytes]":
    with (project.root.parent / f"{project.root.name}.log").open("a") as log:
        return subprocess.Popen(
            ["dvc", "repro"], cwd=project.root, env=project.environment(), stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip


@pytest.mark.long
def test_dvc_repro_killed_at_random_moments_ends_with_the_same_dvc_lock(tmp_path: Path) -> None:
    """`dvc repro` that is killed at any moment, also while DVC commits outputs, goes on, and ends with the same
    `dvc.lock`.

    Sends SIGKILL to all processes of `dvc repro` at eight seeded random moments, and compares `dvc.lock` with that of
    an undisturbed run.
    """
    undisturbed, killed = (clone(tmp_path / name) for name in ("undisturbed", "killed"))
    for project in (undisturbed, killed):
        shrink(project)
        (project.root / "dvc.lock").unlink(missing_ok=True)
    assert start(undisturbed).wait() == 0, (tmp_path / "undisturbed.log").read_text()
    draw, reached = random.Random(3), 0
    for _ in range(KILLS):
        process = start(killed)
        try:
            assert process.wait(draw.uniform(1, 12)) == 0, (tmp_path / "killed.log").read_text()
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
            reached += 1
    assert reached > KILLS / 2
    assert start(killed).wait() == 0, (tmp_path / "killed.log").read_text()
    assert (killed.root / "dvc.lock").read_text() == (undisturbed.root / "dvc.lock").read_text()
