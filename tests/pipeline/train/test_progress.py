"""The stage train: progress output, and checkpoints from which it resumes."""

import os
import pty
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from pipeline.files import write_file
from pipeline.training.fit import fit
from tests.pipeline.train.workspace import Workspace
from tests.pipeline.training.trainings import PLAIN, training

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of mlflow's own imports


@pytest.mark.slow
def test_training_resumed_from_a_checkpoint_produces_the_same_bytes(
    workspace: Workspace, finished: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    write_file(workspace.checkpoint, fit(PLAIN, training(), workspace.data, seed=1, until=2).state)
    workspace.run()
    printed = capsys.readouterr().out
    assert "resuming after epoch 2 of 3" in printed
    assert "epoch 3/3" in printed
    assert "epoch 2/3" not in printed
    assert workspace.outputs() == finished.outputs()


@pytest.mark.slow
def test_training_restarts_from_a_damaged_checkpoint_and_produces_the_same_bytes(
    workspace: Workspace, finished: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    state = fit(PLAIN, training(), workspace.data, seed=1, until=2).state
    write_file(workspace.checkpoint, state[: len(state) // 2])
    workspace.run()
    printed = capsys.readouterr().out
    assert "damaged; restarting the training" in printed
    assert "epoch 1/3" in printed
    assert workspace.outputs() == finished.outputs()


@pytest.mark.slow
def test_without_a_terminal_each_epoch_is_a_plain_line(workspace: Workspace, capfd: pytest.CaptureFixture[str]) -> None:
    workspace.run()
    printed = capfd.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert "\r" not in printed.out + printed.err
    lines = [line for line in printed.out.splitlines() if line.startswith("epoch ")]
    assert [line.split()[1] for line in lines] == ["1/3", "2/3", "3/3"]


@contextmanager
def terminal_as_stderr() -> Iterator[list[bytes]]:
    """Make this process's stderr a terminal inside the block; afterwards, the list contains the bytes written to it."""
    reader, writer = pty.openpty()
    written: list[bytes] = []

    def read() -> None:
        with suppress(OSError):  # how Linux reports that the other end is closed
            while part := os.read(reader, 4096):
                written.append(part)

    reading = threading.Thread(target=read)
    reading.start()
    try:
        with os.fdopen(writer, "w") as stderr, pytest.MonkeyPatch.context() as patch:
            patch.setenv("TERM", "xterm")
            patch.setattr(sys, "stderr", stderr)
            yield written
    finally:
        reading.join()
        os.close(reader)


@pytest.mark.slow
def test_on_a_terminal_a_progress_bar_is_shown(workspace: Workspace) -> None:
    with terminal_as_stderr() as parts:
        workspace.run()
    written = b"".join(parts).decode()
    assert "\x1b[" in written
    assert "3/3" in written
    assert "epoch 2/3" in written
