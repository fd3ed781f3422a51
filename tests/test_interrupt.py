"""Ctrl-C in a stage: a message, an exit status, no partial outputs, and the next run resumes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SMALL, Clone
from tests.search.project import enable_ctrl_c

pytestmark = pytest.mark.long

PROGRESS = ("search: ", "train: ")  # prefixes of the other lines that stderr may contain


def interrupt(made: Clone, module: str, at: str) -> tuple[int, list[str]]:
    """Press Ctrl-C once a line that starts with `at` is printed; return the exit status and the lines of stderr."""
    with subprocess.Popen(
        [sys.executable, "-m", module], cwd=made.root, env=made.environment(PYTHONUNBUFFERED="1"), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=enable_ctrl_c, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout
        assert any(line.startswith(at) for line in process.stdout)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, errors = process.communicate()
    return process.returncode, errors.splitlines()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_search_and_train_stop_at_ctrl_c_and_resume(fresh_clone: Clone) -> None:
    fresh_clone.edit_params(SMALL | {"  epochs: 40 ": "  epochs: 400 ", "  patience: 12 ": "  patience: null "})
    fresh_clone.run("python", "-m", "pipeline.prepare")

    status, errors = interrupt(fresh_clone, "search", "trial   0")
    assert (status, errors[-1]) == (130, "stopped")
    assert all(line.startswith(PROGRESS) for line in errors[:-1])
    assert names(fresh_clone.root / "models") == []
    assert " of 3 trials done" in fresh_clone.run("python", "-m", "search").stdout

    status, errors = interrupt(fresh_clone, "pipeline.train", "epoch 5/")
    assert (status, errors[-1]) == (130, "stopped")
    assert all(line.startswith(PROGRESS) for line in errors[:-1])
    assert names(fresh_clone.root / "models") == ["architecture.yaml", "baseline.yaml"]
    assert "train" not in names(fresh_clone.root / "reports")
    status, _ = interrupt(fresh_clone, "pipeline.train", "resuming after epoch")
    assert status == 130
