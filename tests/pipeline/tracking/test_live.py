import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.tracking.live import track
from pipeline.tracking.record import RunRecord, write_record
from pipeline.tracking.sync import sync

Runs = Callable[[Path], list[Any]]
SAMPLED = "system/cpu_utilization_percentage"


def test_a_run_shows_its_parameters_metrics_tags_and_dataset(tmp_path: Path, training: RunRecord, runs: Runs) -> None:
    with track(training, tmp_path) as run:
        for epoch in (1, 2, 3):
            run.log({"loss": 1 / epoch}, epoch)
    (logged,) = runs(tmp_path)
    assert logged.info.status == "FINISHED"
    assert logged.data.params == {"learning_rate": "0.003", "epochs": "3", "patience": "None"}
    assert logged.data.metrics["train/loss"] == pytest.approx(1 / 3)
    assert logged.data.tags["mlflow.note.content"] == "# A training"
    assert logged.data.tags["version.python"]
    assert logged.inputs.dataset_inputs[0].dataset.name == "digits"
    assert logged.inputs.dataset_inputs[0].tags[0].value == "training, validation"


def test_volatile_metrics_stay_out_of_the_record(tmp_path: Path, training: RunRecord, runs: Runs) -> None:
    with track(training, tmp_path) as run:
        run.log({"loss": 0.5}, 1)
        run.log({"images_per_second": 900.0}, 1, volatile=True)
    assert training.metrics == [("loss", 1, 0.5)]
    assert runs(tmp_path)[0].data.metrics["train/images_per_second"] == 900.0
    log = json.loads((tmp_path / "logs" / f"{training.key}.json").read_text())
    assert log["points"][0][:3] == ["images_per_second", 1, 900.0]


def test_outputs_under_a_symbolic_link_are_recorded_by_their_project_path(tmp_path: Path, training: RunRecord) -> None:
    (tmp_path / "build/reports").mkdir(parents=True)
    (tmp_path / "reports").symlink_to(tmp_path / "build/reports")
    (tmp_path / "reports/table.csv").write_text("a\n")
    with track(training, tmp_path) as run:
        run.artifact(tmp_path / "reports/table.csv")
        run.page("report.html", tmp_path / "reports/report.html")
    assert training.artifacts == ["reports/table.csv"]
    assert training.pages == {"report.html": ["reports/report.html"]}


def test_a_run_that_raises_is_marked_failed_with_its_reason(tmp_path: Path, training: RunRecord, runs: Runs) -> None:
    with pytest.raises(ZeroDivisionError), track(training, tmp_path):
        raise ZeroDivisionError("by zero")
    (logged,) = runs(tmp_path)
    assert (logged.info.status, logged.data.tags["reason"]) == ("FAILED", "ZeroDivisionError: by zero")


def test_a_killed_run_that_is_resumed_is_not_duplicated(tmp_path: Path, training: RunRecord, runs: Runs) -> None:
    first = RunRecord(training.kind, training.key, training.name)
    with pytest.raises(KeyboardInterrupt), track(first, tmp_path) as run:  # noqa: PT012
        run.log({"loss": 1.0}, 1)
        raise KeyboardInterrupt
    assert runs(tmp_path)[0].info.status == "KILLED"
    with track(training, tmp_path) as run:
        run.log({"loss": 1.0}, 1)  # a resumed training logs its earlier epochs again
        run.log({"loss": 0.5}, 2)
    (logged,) = runs(tmp_path)
    assert logged.info.status == "FINISHED"
    assert _history(tmp_path, logged, "train/loss") == [(1, 1.0), (2, 0.5)]


def test_a_repeated_finished_run_keeps_its_times(tmp_path: Path, training: RunRecord, runs: Runs) -> None:
    with track(RunRecord(training.kind, training.key, training.name), tmp_path):
        pass
    (first,) = runs(tmp_path)
    with track(training, tmp_path):
        pass
    (logged,) = runs(tmp_path)
    assert (logged.info.start_time, logged.info.end_time) == (first.info.start_time, first.info.end_time)
    assert _history(tmp_path, logged, SAMPLED) == _history(tmp_path, first, SAMPLED)


def test_a_trial_shows_the_environment_and_the_dataset_of_its_study(
    tmp_path: Path, training: RunRecord, runs: Runs
) -> None:
    with track(RunRecord("study", "study", "study", dataset=training.dataset), tmp_path) as run:
        run.child(RunRecord("trial", "t0", "trial 0", status="FINISHED"))
    (trial,) = (run for run in runs(tmp_path) if run.info.run_name == "trial 0")
    assert trial.data.tags["version.python"]
    assert trial.data.tags["fovea.kind"] == "trial"
    assert trial.inputs.dataset_inputs[0].dataset.name == "digits"


def test_trials_are_children_marked_with_status_and_reason(tmp_path: Path, runs: Runs) -> None:
    study = RunRecord("study", "study", "study")
    texts = {"architecture.yaml": "blocks: []\n"}
    with track(study, tmp_path) as run:
        run.child(RunRecord("trial", "t0", "trial 0", status="FINISHED", metrics=[("val_accuracy", 1, 0.9)]))
        run.child(RunRecord("trial", "t1", "trial 1", status="KILLED", reason="pruned", texts=texts))
        run.child(RunRecord("trial", "t2", "trial 2", status="FAILED", reason="diverged"), started=1.0, ended=3.0)
    by_name = {run.info.run_name: run for run in runs(tmp_path)}
    parent = by_name["study"].info.run_id
    assert {run.data.tags.get("mlflow.parentRunId") for name, run in by_name.items() if name != "study"} == {parent}
    assert [by_name[f"trial {number}"].info.status for number in range(3)] == ["FINISHED", "KILLED", "FAILED"]
    assert by_name["trial 1"].data.tags["reason"] == "pruned"
    assert by_name["trial 2"].info.end_time - by_name["trial 2"].info.start_time == 2000
    assert [child.key for child in study.children] == ["t0", "t1", "t2"]


def test_a_trial_is_logged_in_few_calls_regardless_of_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    calls: list[str] = []
    for name in [name for name in vars(MlflowClient) if not name.startswith("_")]:
        if callable(method := getattr(MlflowClient, name)):

            def counted(*given: Any, _name: str = name, _method: Any = method, **named: Any) -> Any:
                calls.append(_name)
                return _method(*given, **named)

            monkeypatch.setattr(MlflowClient, name, counted)
    epochs = [(f"metric {number}", epoch, 0.5) for number in range(8) for epoch in range(1, 31)]
    params = {f"param {number}": number for number in range(60)}
    with track(RunRecord("study", "study", "study"), tmp_path) as run:
        run.child(RunRecord("trial", "t0", "trial 0", status="FINISHED"))
        run.wait()
        calls.clear()
        texts = {"architecture.yaml": "blocks: []\n"}
        tags = {f"tag {number}": "yes" for number in range(20)}
        run.child(
            RunRecord(
                "trial", "t1", "trial 1", status="FINISHED", metrics=epochs, params=params, tags=tags, texts=texts
            )
        )
        run.wait()
        assert len(calls) <= 6, calls
        assert len(calls) >= 3  # the calls are counted


def test_an_evaluation_is_logged_to_the_run_of_its_training(tmp_path: Path, training: RunRecord, runs: Runs) -> None:
    with track(training, tmp_path):
        pass
    evaluation = RunRecord("evaluation", "e", "evaluation", parent=training.key, tags={"test_digest": "t"})
    picture = tmp_path / "reports" / "evaluate" / "confusion.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"png")
    with track(evaluation, tmp_path) as run:
        run.log({"accuracy": 0.98}, 0)
        run.artifact(picture)
    (logged,) = runs(tmp_path)
    assert logged.data.metrics["test/accuracy"] == 0.98
    assert logged.data.tags["test_digest"] == "t"
    assert logged.info.status == "FINISHED"
    assert (Path(logged.info.artifact_uri.removeprefix("file://")) / "evaluate" / "confusion.png").is_file()


@pytest.mark.usefixtures("unreachable_server")
def test_an_unavailable_server_is_reported_once(
    tmp_path: Path, training: RunRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    with track(training, tmp_path) as run:
        run.log({"loss": 0.5}, 1)
        run.child(RunRecord("trial", "t", "trial"))
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert training.status == "FINISHED"


def test_a_server_that_becomes_unavailable_is_reported_once(
    tmp_path: Path, training: RunRecord, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    def fail(*_: object, **__: object) -> None:
        raise MlflowException("the server hung up")

    log_batch = MlflowClient.log_batch
    with track(training, tmp_path) as run:
        monkeypatch.setattr(MlflowClient, "log_batch", fail)
        run.log({"loss": 0.5}, 1)
        run.flush()
        run.log({"loss": 0.4}, 2)
        run.flush()
    assert capsys.readouterr().out.count("the server hung up") == 1
    monkeypatch.setattr(MlflowClient, "log_batch", log_batch)
    write_record(training, tmp_path / "reports" / "train" / "run.json")
    assert sync(tmp_path) == 1


def test_a_short_run_has_system_metrics(tmp_path: Path, training: RunRecord, runs: Runs) -> None:
    with track(training, tmp_path):
        pass
    names = runs(tmp_path)[0].data.metrics
    assert SAMPLED in names
    assert not [name for name in names if "gpu" in name or name == "cost/energy_wh"]


def test_steps_logged_in_quick_succession_are_sent_in_batches(
    tmp_path: Path, training: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    calls: list[int] = []
    log_batch = MlflowClient.log_batch
    monkeypatch.setattr(MlflowClient, "log_batch", lambda *a, **k: (calls.append(1), log_batch(*a, **k))[1])
    with track(training, tmp_path) as run:
        for step in range(500):
            run.log({"loss": 1.0}, step)
    assert len(calls) <= 4


def _history(root: Path, run: Any, name: str) -> list[tuple[int, float]]:
    from pipeline.mlflow_server.connection import connect

    return [(m.step, m.value) for m in connect(root).client.get_metric_history(run.info.run_id, name)]
