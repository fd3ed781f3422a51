"""The stage train: progress output, checkpoints and interruptions."""

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pipeline.cnn.architecture import Architecture, yaml_text
from pipeline.files import write_file
from pipeline.params import Block, Head
from pipeline.sections.load import load_params
from pipeline.training.fit import fit
from pipeline.training.state import StateError, unpack
from tests.pipeline.train.workspace import OUTPUTS, PATHS, REPORTS, Workspace, make_workspace
from tests.pipeline.training.trainings import PLAIN, ROOT, figures, training

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of mlflow's own imports


LARGER = Architecture(input_shape=(12, 12, 1), classes=2, blocks=(Block(filters=5),), head=Head())


RUNNER_UP_OUTPUTS = {f"reports/train/runner_up/{name}" for name in (*REPORTS, "model.keras", "model.yaml")}


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


def command(workspace: Workspace) -> list[str]:
    options = {"params": Path("params.yaml"), **vars(PATHS)}
    del options["root"]
    return [sys.executable, "-m", "pipeline.train", *(f"--{name}={path}" for name, path in options.items())]


def start(workspace: Workspace) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DVC_"))}
    environment |= {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    return subprocess.Popen(
        command(workspace),
        cwd=workspace.root,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def write_params(workspace: Workspace) -> None:
    content = load_params(ROOT / "params.yaml").model_dump(mode="json", by_alias=True)
    content["training"] = training(**workspace.settings).model_dump(mode="json")
    (workspace.root / "params.yaml").write_text(yaml_text(content))


def checkpointed_epochs(states: Path) -> list[int]:
    """The number of epochs in each checkpoint of a folder, in descending order."""
    epochs = []
    for path in states.glob("*.npz"):
        with suppress(FileNotFoundError, StateError):
            epochs.append(len(unpack(path.read_bytes()).history))
    return sorted(epochs, reverse=True)


@pytest.mark.slow
def test_a_stage_killed_in_each_training_resumes_and_produces_the_same_bytes(
    tmp_path: Path, empty_database: Path
) -> None:
    killed, uninterrupted = (
        make_workspace(tmp_path / name, empty_database, figures(train=400), epochs=15, batch_size=4)
        for name in ("killed", "uninterrupted")
    )
    for workspace in (killed, uninterrupted):
        workspace.write(PLAIN, LARGER)
        write_params(workspace)
    for trainings in (1, 2):
        process = start(killed)
        while sum(epochs >= 2 for epochs in checkpointed_epochs(killed.root / "states")) < trainings:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not killed.outputs()
    kept = checkpointed_epochs(killed.root / "states")

    for workspace in (killed, uninterrupted):
        process = start(workspace)
        out, err = process.communicate()
        assert process.returncode == 0, err
        if workspace is killed:
            assert all(f"resuming after epoch {epochs} of 15" in out for epochs in kept)
            assert out.count("epoch 1/15") == 2 - len(kept)  # nothing is trained twice
    assert killed.outputs().keys() == OUTPUTS | RUNNER_UP_OUTPUTS
    assert killed.outputs() == uninterrupted.outputs()
    assert not list((killed.root / "states").iterdir())
