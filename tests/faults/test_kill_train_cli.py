"""The command of the stage train, killed in the middle of each of its two trainings."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.cnn.architecture import Architecture, yaml_text
from pipeline.params import Block, Head
from pipeline.sections.load import load_params
from pipeline.training.state import StateError, unpack
from tests.pipeline.train.workspace import OUTPUTS, PATHS, REPORTS, Workspace, make_workspace
from tests.pipeline.training.trainings import PLAIN, ROOT, figures, training

LARGER = Architecture(input_shape=(12, 12, 1), classes=2, blocks=(Block(filters=5),), head=Head())
RUNNER_UP_OUTPUTS = {f"reports/train/runner_up/{name}" for name in (*REPORTS, "model.keras", "model.yaml")}


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
def test_a_training_killed_in_each_network_resumes_and_produces_the_same_bytes(
    tmp_path: Path, empty_database: Path
) -> None:
    """`train` that is killed while it trains the winner, and again while it trains the baseline, goes on after the last
    epoch of each, and produces the same bytes.

    Sends SIGKILL to the command after the second epoch of each network, and compares the outputs with those of an
    undisturbed run.
    """
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
