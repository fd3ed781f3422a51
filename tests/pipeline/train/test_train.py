"""The stage train."""

import csv
import io
import json
import shutil
import sqlite3
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.candidate import read_candidate
from pipeline.cnn.geometry import compute_geometry
from pipeline.cnn.keras_file import load_model, read_classes
from pipeline.data.split import make_split, write_split
from pipeline.errors import UserError
from pipeline.evaluation.choice import read_choice
from pipeline.params import Block, Head
from pipeline.tracking.record import read_record
from tests.pipeline.train.workspace import OUTPUTS, REPORTS, Workspace, make_workspace
from tests.pipeline.training.trainings import CLASSES, PLAIN, ROOT, figures

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of mlflow's own imports


def test_the_outputs_are_the_network_its_candidate_and_the_reports(finished: Workspace) -> None:
    assert finished.outputs().keys() == OUTPUTS


def test_no_other_files_remain(finished: Workspace) -> None:
    assert finished.remaining() == {"models", "reports", "states"}
    assert not list((finished.root / "states").iterdir())


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def test_the_history_has_a_row_for_each_epoch(finished: Workspace) -> None:
    rows = list(csv.DictReader((finished.root / "reports/train/history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert list(rows[0]) == [
        "epoch",
        "loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
        "val_macro_f1",
        "val_balanced_accuracy",
        "learning_rate",
    ]


def test_the_reported_metrics_are_those_of_the_best_epoch(finished: Workspace) -> None:
    report = json.loads((finished.root / "reports/train/train.json").read_text())
    rows = list(csv.DictReader((finished.root / "reports/train/history.csv").read_text().splitlines()))
    best = rows[report["best_epoch"] - 1]
    assert (report["val_accuracy"], report["val_loss"]) == (float(best["val_accuracy"]), float(best["val_loss"]))
    assert report["val_accuracy"] == max(float(row["val_accuracy"]) for row in rows)
    assert report["epochs"] == 3


def test_the_curves_are_an_image(finished: Workspace) -> None:
    with Image.open(finished.root / "reports/train/curves.png") as picture:
        assert picture.width > 1000


def test_the_network_has_the_architecture_of_the_candidate_and_the_classes_of_the_data(finished: Workspace) -> None:
    model = load_model(finished.root / "models/model.keras")
    assert model.input_shape == (None, *PLAIN.input_shape)
    assert model.count_params() == compute_geometry(PLAIN).params
    assert read_classes(finished.root / "models/model.keras") == CLASSES


def test_the_record_contains_settings_and_origin(finished: Workspace) -> None:
    record = read_record(finished.root / "reports/train/run.json")
    assert (record.kind, record.status) == ("training", "FINISHED")
    assert record.params["training.batch_size"] == 16
    assert (record.tags["study"], record.tags["trial"]) == ("study-1", "7")
    assert len([name for name, _, _ in record.metrics if name == "val_accuracy"]) == 3


@pytest.mark.slow
def test_the_same_run_in_another_folder_produces_the_same_bytes(finished: Workspace, workspace: Workspace) -> None:
    workspace.run()
    assert workspace.outputs() == finished.outputs()


def test_no_output_contains_a_local_path(finished: Workspace) -> None:
    for name, content in finished.outputs().items():
        assert str(finished.root).encode() not in content, name
        assert str(ROOT).encode() not in content, name


@pytest.mark.slow
def test_settings_of_the_study_override_those_of_params(workspace: Workspace) -> None:
    workspace.write(PLAIN, learning_rate=0.002)
    workspace.run()
    rows = csv.DictReader((workspace.root / "reports/train/history.csv").read_text().splitlines())
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx([0.002] * 3)


@pytest.mark.slow
def test_an_earlier_report_is_replaced_completely(workspace: Workspace) -> None:
    (workspace.root / "reports/train").mkdir(parents=True)
    (workspace.root / "reports/train/old.csv").write_text("old")
    workspace.run()
    assert {path.name for path in (workspace.root / "reports/train").iterdir()} == {*REPORTS, "choice.json"}


LARGER = Architecture(input_shape=(12, 12, 1), classes=2, blocks=(Block(filters=5),), head=Head())


RUNNER_UP_OUTPUTS = {f"reports/train/runner_up/{name}" for name in (*REPORTS, "model.keras", "model.yaml")}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> tuple[Workspace, str]:
    """A workspace with a winner and a different baseline after the stage has run, and the printed output."""
    workspace = make_workspace(tmp_path_factory.mktemp("compared") / "workspace", empty_database)
    workspace.write(PLAIN, LARGER)
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        workspace.run()
    return workspace, printed.getvalue()


def test_winner_and_baseline_are_trained_and_the_better_network_is_selected(compared: tuple[Workspace, str]) -> None:
    workspace, printed = compared
    assert workspace.outputs().keys() == OUTPUTS | RUNNER_UP_OUTPUTS
    reports = workspace.root / "reports/train"
    choice = read_choice(reports / "choice.json")
    one, other = (read_json(folder / "train.json") for folder in (reports, reports / "runner_up"))
    assert (one["val_accuracy"], -one["val_loss"]) >= (other["val_accuracy"], -other["val_loss"])
    assert (choice.val_accuracy, choice.runner_up_val_accuracy) == (one["val_accuracy"], other["val_accuracy"])
    assert choice.images == 40
    filters = {"winner": 4, "baseline": 5}
    for role, model, candidate in (
        (choice.chosen, workspace.root / "models/model.keras", workspace.root / "models/model.yaml"),
        (choice.runner_up, reports / "runner_up/model.keras", reports / "runner_up/model.yaml"),
    ):
        assert role is not None
        assert read_candidate(candidate).architecture.blocks[0].filters == filters[role]
        assert load_model(model).count_params() == compute_geometry(read_candidate(candidate).architecture).params
    for sentence in choice.sentences:
        assert sentence in printed


def test_both_trainings_are_runs_that_state_which_was_chosen(compared: tuple[Workspace, str]) -> None:
    workspace, _ = compared
    reports = workspace.root / "reports/train"
    with sqlite3.connect(workspace.root / "mlflow.db") as database:
        query = "select run_uuid, key, value from tags where key in ('fovea.key', 'choice', 'mlflow.note.content')"
        tags: dict[str, dict[str, str]] = {}
        for run, key, value in database.execute(query):
            tags.setdefault(run, {})[key] = value
        statuses = {status for (status,) in database.execute("select status from runs")}
    assert statuses == {"FINISHED"}
    assert len(tags) == 2
    for folder, outcome in ((reports, "chosen"), (reports / "runner_up", "runner-up")):
        record = read_record(folder / "run.json")
        (own,) = (each for each in tags.values() if each["fovea.key"] == record.key)
        assert own["choice"] == record.tags["choice"] == outcome
        assert read_choice(reports / "choice.json").sentences[1] in own["mlflow.note.content"]
    assert {path.name for path in (workspace.root / "mlartifacts").rglob("*.png")} == {"curves.png"}


@pytest.mark.slow
def test_a_baseline_that_is_the_winner_is_trained_once(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.write(PLAIN.model_copy(update={"blocks": (Block(filters=4, kernel_size=3),)}))
    workspace.run()
    printed = capsys.readouterr().out
    assert printed.count("epoch 3/3") == 1
    assert "the baseline is selected: the study's winner is the baseline" in printed
    choice = read_choice(workspace.root / "reports/train/choice.json")
    assert (choice.chosen, choice.runner_up) == ("baseline", None)
    assert not (workspace.root / "reports/train/runner_up").exists()
    assert read_record(workspace.root / "reports/train/run.json").tags["trial"] == "7"


@pytest.mark.slow
def test_a_winner_that_is_equivalent_to_the_baseline_is_trained_once(workspace: Workspace) -> None:
    clipped = Architecture(input_shape=(12, 12, 1), classes=2, blocks=(Block(filters=4, kernel_size=3),), head=Head())
    workspace.write(clipped, PLAIN, learning_rate=0.01)  # the learning rate of `training:`
    workspace.run()
    assert read_choice(workspace.root / "reports/train/choice.json").runner_up is None


@pytest.mark.slow
def test_if_one_of_two_trainings_diverges_the_other_network_is_selected(workspace: Workspace) -> None:
    workspace.write(PLAIN, LARGER, learning_rate=1e3, optimizer="sgd")
    workspace.run()
    choice = read_choice(workspace.root / "reports/train/choice.json")
    assert (choice.chosen, choice.runner_up) == ("baseline", None)
    assert "there is no other network, since architecture.yaml: training diverged: epoch" in choice.sentences[0]
    assert load_model(workspace.root / "models/model.keras").count_params() == compute_geometry(LARGER).params


@pytest.mark.slow
def test_choosing_the_cheapest_network_applies_to_the_final_choice(workspace: Workspace) -> None:
    workspace.write(PLAIN, LARGER)
    workspace.run(choose="cheapest", tolerance=0.5)
    assert read_choice(workspace.root / "reports/train/choice.json").chosen == "winner"


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
def test_an_architecture_that_does_not_fit_is_refused_and_nothing_is_written(
    architecture: Architecture, rule: str, workspace: Workspace
) -> None:
    workspace.write(architecture)
    with pytest.raises(UserError, match=rf"architecture\.yaml: .*{rule}"):
        workspace.run()
    assert not workspace.remaining()
    assert not (workspace.root / "logs").exists()


def test_a_missing_architecture_is_reported(workspace: Workspace) -> None:
    (workspace.root / "architecture.yaml").unlink()
    with pytest.raises(UserError, match=r"architecture\.yaml: no such file"):
        workspace.run()
    assert not workspace.remaining()


def test_an_unknown_training_setting_is_reported(workspace: Workspace) -> None:
    workspace.write(PLAIN, learning_rat=0.1)
    with pytest.raises(UserError, match=r"candidate: training: learning_rat: unknown key; did you mean learning_rate"):
        workspace.run()
    assert not workspace.remaining()


@pytest.mark.parametrize("place", ["train", "val"])
def test_the_test_split_cannot_be_trained_on(place: str, workspace: Workspace) -> None:
    shutil.rmtree(workspace.root / "data" / place)
    split = workspace.data.train
    write_split(make_split("test", split.images, split.labels), workspace.root / "data" / place)
    with pytest.raises(UserError, match=rf"must contain the {place} split, got the test split"):
        workspace.run()


@pytest.mark.slow
def test_a_training_that_diverges_leaves_no_output(tmp_path: Path, empty_database: Path) -> None:
    workspace = make_workspace(tmp_path / "workspace", empty_database, learning_rate=1e3, optimizer="sgd")
    with pytest.raises(UserError, match=r"architecture\.yaml: training diverged: epoch \d+: .*learning_rate"):
        workspace.run()
    assert not workspace.outputs()
    assert not [path for path in (workspace.root / "states").glob("*") if path.is_file()]


@pytest.mark.slow
def test_an_early_stop_is_noted_in_the_record(tmp_path: Path, empty_database: Path) -> None:
    workspace = make_workspace(tmp_path / "workspace", empty_database, figures(hard=True), patience=1, epochs=40)
    workspace.run()
    assert read_record(workspace.root / "reports/train/run.json").tags["stopped_early"] == "no improvement for 1 epoch"
