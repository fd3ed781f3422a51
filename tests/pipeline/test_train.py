"""The stage train: what it writes, what it refuses, and how it goes on after a kill."""

import csv
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline import train
from pipeline.cnn.architecture import Architecture, yaml_text
from pipeline.cnn.candidate import Candidate, Origin, write_candidate
from pipeline.cnn.checkpoint import write_checkpoint
from pipeline.cnn.fit import fit, training_key
from pipeline.cnn.keras_file import load_model, read_classes
from pipeline.cnn.state import StateError, unpack
from pipeline.data.dataset import write_dataset
from pipeline.data.split import make_split, write_split
from pipeline.params import Block, Head, load_params
from pipeline.terminal import UserError
from pipeline.tracking import read_record
from tests.pipeline.cnn.trainings import CLASSES, PLAIN, ROOT, figures, training

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of mlflow's own imports

REPORTS = {"history.csv", "curves.png", "train.json", "run.json"}


@dataclass(frozen=True)
class Workspace:
    """A folder with prepared data and a candidate, in which the stage runs as in a repository."""

    root: Path
    settings: dict[str, Any]
    data: Any = field(repr=False)

    def __post_init__(self) -> None:
        dataset, train_split, val_split = self.data
        (self.root / "data").mkdir(parents=True)
        write_dataset(dataset, self.root / "data" / "dataset.json")
        write_split(train_split, self.root / "data" / "train")
        write_split(val_split, self.root / "data" / "val")
        self.write(PLAIN)

    def write(self, architecture: Architecture, **found: Any) -> None:
        origin = Origin(study="study-1", trial=7, val_accuracy=0.5)
        candidate = Candidate(architecture=architecture, training=found, origin=origin)
        write_candidate(candidate, self.root / "architecture.yaml")

    @property
    def checkpoint(self) -> Path:
        key = training_key(PLAIN, training(**self.settings), *self.data, 1)
        return self.root / "states" / f"{key}.npz"

    def run(self) -> None:
        """The stage, in this process and the workspace's folder."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.root)
            train.run(
                training(**self.settings),
                1,
                candidate_path=Path("architecture.yaml"),
                dataset_path=Path("data/dataset.json"),
                train=Path("data/train"),
                val=Path("data/val"),
                model_path=Path("models/model.keras"),
                reports=Path("reports/train"),
                checkpoints=Path("states"),
            )

    def outputs(self) -> dict[str, bytes]:
        """What the stage wrote for DVC to keep, by path."""
        files = [*(self.root / "reports").rglob("*"), *(self.root / "models").rglob("*")]
        return {str(path.relative_to(self.root)): path.read_bytes() for path in files if path.is_file()}

    def left(self) -> set[str]:
        """What stands in the folder beside the inputs, the logs and MLflow's database."""
        given = {"data", "architecture.yaml", "logs", "mlflow.db", "mlartifacts"}
        return {path.name for path in self.root.iterdir()} - given


@pytest.fixture(autouse=True)
def own_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def workspace(tmp_path: Path, empty_database: Path) -> Workspace:
    return made(tmp_path / "workspace", empty_database)


def made(root: Path, database: Path, data: Any = None, **settings: Any) -> Workspace:
    workspace = Workspace(root, settings, data or figures())
    shutil.copy(database, root / "mlflow.db")
    return workspace


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Workspace:
    """A workspace in which the stage ran undisturbed; tests only read it."""
    workspace = made(tmp_path_factory.mktemp("finished") / "workspace", empty_database)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        workspace.run()
    return workspace


def test_the_outputs_are_a_network_and_four_reports(finished: Workspace) -> None:
    assert finished.outputs().keys() == {"models/model.keras", *(f"reports/train/{name}" for name in REPORTS)}


def test_nothing_else_is_left_behind(finished: Workspace) -> None:
    assert finished.left() == {"models", "reports", "states"}
    assert not list((finished.root / "states").iterdir())


def test_the_history_has_a_row_for_each_epoch(finished: Workspace) -> None:
    rows = list(csv.DictReader((finished.root / "reports/train/history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert list(rows[0]) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "val_macro_f1", "learning_rate"]


def test_the_figures_are_those_of_the_best_epoch(finished: Workspace) -> None:
    told = json.loads((finished.root / "reports/train/train.json").read_text())
    rows = list(csv.DictReader((finished.root / "reports/train/history.csv").read_text().splitlines()))
    best = rows[told["best_epoch"] - 1]
    assert (told["val_accuracy"], told["val_loss"]) == (float(best["val_accuracy"]), float(best["val_loss"]))
    assert told["val_accuracy"] == max(float(row["val_accuracy"]) for row in rows)
    assert told["epochs"] == 3


def test_the_curves_are_a_picture(finished: Workspace) -> None:
    with Image.open(finished.root / "reports/train/curves.png") as picture:
        assert picture.width > 1000


def test_the_network_is_the_candidate_s_with_the_data_s_classes(finished: Workspace) -> None:
    model = load_model(finished.root / "models/model.keras")
    assert model.input_shape == (None, *PLAIN.input_shape)
    assert model.count_params() == json.loads((finished.root / "reports/train/train.json").read_text())["params"]
    assert read_classes(finished.root / "models/model.keras") == CLASSES


def test_the_record_tells_settings_and_origin(finished: Workspace) -> None:
    record = read_record(finished.root / "reports/train/run.json")
    assert (record.kind, record.status) == ("training", "FINISHED")
    assert record.params["training.batch_size"] == 16
    assert (record.tags["study"], record.tags["trial"]) == ("study-1", "7")
    assert len([name for name, _, _ in record.metrics if name == "val_accuracy"]) == 3


def test_the_same_run_in_another_folder_gives_the_same_bytes(finished: Workspace, workspace: Workspace) -> None:
    workspace.run()
    assert workspace.outputs() == finished.outputs()


def test_no_output_names_a_folder_of_this_machine(finished: Workspace) -> None:
    for name, content in finished.outputs().items():
        assert str(finished.root).encode() not in content, name
        assert str(ROOT).encode() not in content, name


def test_settings_found_by_the_study_take_the_place_of_those_of_params(workspace: Workspace) -> None:
    workspace.write(PLAIN, learning_rate=0.002)
    workspace.run()
    rows = csv.DictReader((workspace.root / "reports/train/history.csv").read_text().splitlines())
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx([0.002] * 3)


def test_an_earlier_report_is_replaced_as_a_whole(workspace: Workspace) -> None:
    (workspace.root / "reports/train").mkdir(parents=True)
    (workspace.root / "reports/train/old.csv").write_text("old")
    workspace.run()
    assert {path.name for path in (workspace.root / "reports/train").iterdir()} == REPORTS


def changed(**changes: Any) -> Architecture:
    return Architecture.model_validate(PLAIN.model_dump() | changes)


@pytest.mark.parametrize(
    ("architecture", "rule"),
    [
        (
            changed(input_shape=(12, 12, 3)),
            r"must have the data's input_shape \[12, 12, 1\] and 2 classes, got \[12, 12, 3\] and 2",
        ),
        (
            changed(classes=3),
            r"must have the data's input_shape \[12, 12, 1\] and 2 classes, got \[12, 12, 1\] and 3",
        ),
        (
            changed(blocks=(Block(filters=2, kernel_size=13, padding="valid"),), head=Head()),
            r"blocks\.0\.kernel_size",
        ),
    ],
    ids=["input_shape", "classes", "infeasible"],
)
def test_an_architecture_that_does_not_fit_is_refused_and_nothing_written(
    architecture: Architecture, rule: str, workspace: Workspace
) -> None:
    workspace.write(architecture)
    with pytest.raises(UserError, match=rf"architecture\.yaml: .*{rule}"):
        workspace.run()
    assert not workspace.left()
    assert not (workspace.root / "logs").exists()


def test_a_missing_architecture_is_told(workspace: Workspace) -> None:
    (workspace.root / "architecture.yaml").unlink()
    with pytest.raises(UserError, match=r"architecture\.yaml: no such file"):
        workspace.run()
    assert not workspace.left()


def test_a_setting_that_no_training_has_is_told(workspace: Workspace) -> None:
    workspace.write(PLAIN, learning_rat=0.1)
    with pytest.raises(UserError, match=r"candidate: training: learning_rat: unknown key; did you mean learning_rate"):
        workspace.run()
    assert not workspace.left()


@pytest.mark.parametrize("place", ["train", "val"])
def test_the_test_split_cannot_be_trained_on(place: str, workspace: Workspace) -> None:
    shutil.rmtree(workspace.root / "data" / place)
    _, split, _ = workspace.data
    write_split(make_split("test", split.images, split.labels), workspace.root / "data" / place)
    with pytest.raises(UserError, match=rf"must hold the {place} split, got the test split"):
        workspace.run()


def test_a_training_that_diverges_leaves_no_output(tmp_path: Path, empty_database: Path) -> None:
    workspace = made(tmp_path / "workspace", empty_database, learning_rate=1e30, optimizer="sgd")
    with pytest.raises(UserError, match=r"architecture\.yaml: training diverged: epoch \d+: .*learning_rate"):
        workspace.run()
    assert not workspace.outputs()
    assert not [path for path in (workspace.root / "states").glob("*") if path.is_file()]


def test_an_early_stop_is_told_in_the_record(tmp_path: Path, empty_database: Path) -> None:
    workspace = made(tmp_path / "workspace", empty_database, figures(hard=True), patience=1, epochs=40)
    workspace.run()
    assert read_record(workspace.root / "reports/train/run.json").tags["stopped_early"] == "no progress for 1 epochs"


def test_a_training_goes_on_from_its_checkpoint_to_the_same_bytes(
    workspace: Workspace, finished: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoint(fit(PLAIN, training(), *workspace.data, seed=1, until=2).state, workspace.checkpoint)
    workspace.run()
    told = capsys.readouterr().out
    assert "going on after epoch 2 of 3" in told
    assert "epoch 3/3" in told
    assert "epoch 2/3" not in told
    assert workspace.outputs() == finished.outputs()


@pytest.mark.slow
def test_a_damaged_checkpoint_starts_afresh_to_the_same_bytes(
    workspace: Workspace, finished: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    state = fit(PLAIN, training(), *workspace.data, seed=1, until=2).state
    write_checkpoint(state[: len(state) // 2], workspace.checkpoint)
    workspace.run()
    told = capsys.readouterr().out
    assert "damaged; starting afresh" in told
    assert "epoch 1/3" in told
    assert workspace.outputs() == finished.outputs()


def test_without_a_terminal_each_epoch_is_a_plain_line(workspace: Workspace, capfd: pytest.CaptureFixture[str]) -> None:
    workspace.run()
    told = capfd.readouterr()
    assert "\x1b" not in told.out + told.err
    assert "\r" not in told.out + told.err
    lines = [line for line in told.out.splitlines() if line.startswith("epoch ")]
    assert [line.split()[1] for line in lines] == ["1/3", "2/3", "3/3"]


@contextmanager
def terminal_as_stderr() -> Iterator[list[bytes]]:
    """Make this process's stderr a terminal in the block; the list has what was written there after the block."""
    reader, writer = pty.openpty()
    written: list[bytes] = []

    def read() -> None:
        with suppress(OSError):  # Linux's word for a terminal whose other end is closed
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


def test_on_a_terminal_a_bar_shows_the_progress(workspace: Workspace) -> None:
    with terminal_as_stderr() as parts:
        workspace.run()
    written = b"".join(parts).decode()
    assert "\x1b[" in written
    assert "3/3" in written
    assert "epoch 2/3" in written


def command(workspace: Workspace) -> list[str]:
    options = {
        "--params": "params.yaml",
        "--architecture": "architecture.yaml",
        "--dataset": "data/dataset.json",
        "--train": "data/train",
        "--val": "data/val",
        "--model": "models/model.keras",
        "--reports": "reports/train",
        "--checkpoints": "states",
    }
    return [sys.executable, "-m", "pipeline.train", *(part for option in options.items() for part in option)]


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


def epochs_kept(states: Path) -> int:
    """How many epochs the checkpoint in a folder has; 0 without one."""
    for path in states.glob("*.npz"):
        try:
            return len(unpack(path.read_bytes()).history)
        except (FileNotFoundError, StateError):
            return 0
    return 0


@pytest.mark.slow
def test_a_killed_training_ends_with_the_bytes_of_an_undisturbed_one(tmp_path: Path, empty_database: Path) -> None:
    killed, undisturbed = (
        made(tmp_path / name, empty_database, figures(train=600), epochs=30, batch_size=4)
        for name in ("killed", "undisturbed")
    )
    for workspace in (killed, undisturbed):
        write_params(workspace)
    process = start(killed)
    while epochs_kept(killed.root / "states") < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    kept = epochs_kept(killed.root / "states")
    assert not killed.outputs()

    for workspace in (killed, undisturbed):
        process = start(workspace)
        out, err = process.communicate()
        assert process.returncode == 0, err
        assert (f"going on after epoch {kept} of 30" in out) == (workspace is killed)
    assert killed.outputs().keys() == {"models/model.keras", *(f"reports/train/{name}" for name in REPORTS)}
    assert killed.outputs() == undisturbed.outputs()
    assert not list((killed.root / "states").iterdir())
