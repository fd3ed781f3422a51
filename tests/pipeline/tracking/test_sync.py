from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.tracking.live import track
from pipeline.tracking.record import RunRecord, write_record
from pipeline.tracking.sync import sync

Runs = Callable[[Path], list[Any]]


def _records(root: Path, training: RunRecord) -> None:
    """Write the records that the stages leave."""
    study = RunRecord("study", "s", "study", children=[], status="RUNNING")
    with track(study, root) as run:
        for number in range(3):
            metrics = [("val_accuracy", rung, 0.1 * rung) for rung in (1, 3, 9)]
            run.child(RunRecord("trial", f"t{number}", f"trial {number}", status="KILLED", metrics=metrics))
    write_record(study, root / "reports" / "search" / "run.json")
    with track(training, root) as run:
        for epoch in (1, 2):
            run.log({"loss": 1 / epoch}, epoch)
            run.log({"images_per_second": 100.0}, epoch, volatile=True)
    write_record(training, root / "reports" / "train" / "run.json")
    evaluation = RunRecord("evaluation", "e", "evaluation", parent=training.key)
    with track(evaluation, root) as run:
        run.log({"accuracy": 0.98}, 0)
    write_record(evaluation, root / "reports" / "evaluate" / "run.json")


def test_runs_without_a_server_are_published_later_and_only_once(
    tmp_path: Path, training: RunRecord, runs: Runs, unreachable_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    _records(tmp_path, training)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert sync(tmp_path) == 6
    published = runs(tmp_path)
    assert sync(tmp_path) == 0
    assert [run.to_dictionary() for run in runs(tmp_path)] == [run.to_dictionary() for run in published]
    assert len(published) == 5
    (logged,) = (run for run in published if run.data.tags["fovea.kind"] == "training")
    assert logged.data.metrics == {
        "train/loss": 0.5,
        "train/images_per_second": 100.0,
        "test/accuracy": 0.98,
    }
    assert logged.data.tags["device"]


def test_runs_that_were_published_live_are_not_published_again(tmp_path: Path, training: RunRecord) -> None:
    _records(tmp_path, training)
    assert sync(tmp_path) == 0


def test_records_without_logs_are_published(tmp_path: Path, training: RunRecord, runs: Runs) -> None:
    """As in a clone whose stages came from DVC's cache."""
    training.status = "FINISHED"
    training.metrics.append(("loss", 1, 0.5))
    write_record(training, tmp_path / "reports" / "train" / "run.json")
    assert sync(tmp_path) == 1
    assert runs(tmp_path)[0].data.metrics == {"train/loss": 0.5}


def test_an_evaluation_published_before_its_training_shares_its_run(
    tmp_path: Path, training: RunRecord, runs: Runs
) -> None:
    evaluation = RunRecord("evaluation", "e", "evaluation", parent=training.key, metrics=[("accuracy", 0, 0.9)])
    write_record(evaluation, tmp_path / "reports" / "evaluate" / "run.json")
    sync(tmp_path)
    training.status = "FINISHED"
    write_record(training, tmp_path / "reports" / "train" / "run.json")
    sync(tmp_path)
    (logged,) = runs(tmp_path)
    assert logged.data.metrics == {"test/accuracy": 0.9}
    assert logged.data.tags["fovea.kind"] == "training"


def test_the_next_stage_publishes_runs_that_an_earlier_one_could_not(
    tmp_path: Path, training: RunRecord, runs: Runs
) -> None:
    training.status = "FINISHED"
    write_record(training, tmp_path / "reports" / "train" / "run.json")
    with track(RunRecord("study", "s", "study"), tmp_path):
        pass
    assert {run.data.tags["fovea.kind"] for run in runs(tmp_path)} == {"study", "training"}


@pytest.mark.usefixtures("unreachable_server")
def test_sync_without_a_server_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not respond"):
        sync(tmp_path)


def test_a_deleted_experiment_is_reported(tmp_path: Path) -> None:
    from pipeline.mlflow_server.connection import connect

    server = connect(tmp_path)
    server.client.delete_experiment(server.experiment_id)
    with pytest.raises(UserError, match="has been deleted; restore it"):
        sync(tmp_path)
