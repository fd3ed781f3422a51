"""The whole pipeline, from a fresh clone to the registered champion."""

import json
import re
import sqlite3
from pathlib import Path

import pytest

from tests.conftest import SMALL, Clone


@pytest.mark.slow
def test_two_fresh_clones_produce_byte_identical_locks_with_and_without_ray(
    finished_clones: tuple[Clone, Clone],
) -> None:
    locks = ((made.root / "dvc.lock").read_bytes() for made in finished_clones)
    # The stage check depends on all of params.yaml, which includes the number of workers.
    one, two = (re.sub(rb"    - path: params.yaml\n(      .*\n)+", b"", lock) for lock in locks)
    assert one == two
    assert b"models/registration.json" in one


@pytest.mark.slow
def test_the_network_is_evaluated_and_registered_as_champion(finished_clones: tuple[Clone, Clone]) -> None:
    root = finished_clones[0].root
    metrics, details = (
        json.loads((root / f"reports/evaluate/{name}.json").read_text()) for name in ("metrics", "details")
    )
    assert details["accuracy_low"] <= metrics["accuracy"] <= details["accuracy_high"]
    assert metrics["accuracy"] > 0.2
    with sqlite3.connect(root / "mlflow.db") as database:
        aliases = database.execute("select name, alias, version from registered_model_aliases").fetchall()
    assert aliases == [("fovea", "champion", 1)]


@pytest.mark.slow
def test_repro_without_changes_runs_no_stage(finished_clones: tuple[Clone, Clone]) -> None:
    done = finished_clones[0].run("dvc", "repro")
    assert "Data and pipelines are up to date." in done.stdout + done.stderr
    assert "Running stage" not in done.stdout


@pytest.mark.slow
def test_search_and_train_never_open_the_test_split(finished_clones: tuple[Clone, Clone]) -> None:
    without, with_ray = (made.watched() for made in finished_clones)
    for started, opened in (without, with_ray):
        assert {"search", "pipeline.train"} <= started
        assert opened == {"dvc", "pipeline.prepare", "pipeline.evaluate", "pipeline.register"}
    # Ray's workers are watched, too, and so is the process from which the others are forked.
    assert "default_worker.py" in with_ray[0]
    assert "forkserver" in without[0]


@pytest.mark.slow
def test_train_refuses_the_test_split(finished_clones: tuple[Clone, Clone]) -> None:
    made = finished_clones[1]
    done = made.run("python", "-m", "pipeline.train", "--train", "data/prepared/test", check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "test" in done.stderr


@pytest.mark.long
def test_two_experiments_can_be_compared(finished_clones: tuple[Clone, Clone]) -> None:
    made = finished_clones[1]
    made.run("git", "add", "dvc.lock", "params.yaml")
    made.run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "Run")
    made.run("dvc", "exp", "run", "-S", "evaluate.top_k=1", "-S", "evaluate.corruptions=[]")
    changed = json.loads(made.run("dvc", "metrics", "diff", "--json").stdout)
    top = changed["reports/evaluate/metrics.json"]["top_k_accuracy"]
    assert top["new"] <= top["old"]
    shown = made.run("dvc", "exp", "show", "--csv", "--only-changed", "--drop", ".*/|params").stdout
    assert {"top_k_accuracy", "evaluate.top_k"} <= set(shown.splitlines()[0].split(","))
    assert len(shown.splitlines()[0].split(",")) < 12  # the experiment, the changed parameters, and the changed metrics
    made.run("dvc", "plots", "diff", "--out", "plots")
    page = (made.root / "plots/index.html").read_text()
    assert "workspace" in page
    assert "HEAD" in page
    assert not re.search(r"(src|href)=.https?:", page)


@pytest.mark.slow
def test_metrics_can_be_compared_with_those_of_a_committed_first_run(finished_clones: tuple[Clone, Clone]) -> None:
    made = finished_clones[0]
    made.run("git", "add", "--all")
    made.run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "First run")
    path = made.root / "reports/evaluate/metrics.json"
    before = path.read_text()
    figures = json.loads(before)
    path.unlink()  # it may be a link into DVC's cache
    path.write_text(json.dumps(figures | {"accuracy": figures["accuracy"] / 2}))
    changed = json.loads(made.run("dvc", "metrics", "diff", "--json").stdout)["reports/evaluate/metrics.json"]
    path.write_text(before)
    assert changed.keys() == {"accuracy"}
    assert changed["accuracy"]["diff"] == pytest.approx(-figures["accuracy"] / 2)


@pytest.mark.slow
def test_outputs_that_dvc_replaced_by_links_are_registered(finished_clones: tuple[Clone, Clone]) -> None:
    made = finished_clones[1]
    made.run("dvc", "config", "--local", "cache.type", "symlink")
    made.run("dvc", "checkout", "--relink")
    assert (made.root / "models/model.keras").is_symlink()
    done = made.run("python", "-m", "pipeline.register")
    assert "already registered as" in done.stdout
    (made.root / "mlflow.db").unlink()
    done = made.run("python", "-m", "pipeline.register")
    assert "registered fovea version 1 as champion" in done.stdout


@pytest.mark.slow
def test_the_committed_lock_matches_the_code_and_params(fresh_clone: Clone) -> None:
    stages = json.loads(fresh_clone.run("dvc", "status", "--json").stdout)
    changes = {
        (stage, path)
        for stage, entries in stages.items()
        for entry in entries
        for path, change in entry.get("changed deps", {}).items()
        if change != "deleted"  # outputs of earlier stages are not committed
    }
    assert changes == set(), "run `make repro`, and commit dvc.lock with machine.lock"


@pytest.fixture
def fashion_mnist() -> str:
    folder = "/usr/share/datasets/fashion-mnist"
    assert Path(folder).is_dir(), "install Debian's package dataset-fashion-mnist"
    return folder


@pytest.mark.slow
def test_fashion_mnist_is_prepared_through_links(fresh_clone: Clone, fashion_mnist: str) -> None:
    fresh_clone.link_outputs()
    fresh_clone.edit_params({"  source: digits ": f"  source: idx:{fashion_mnist} "})
    fresh_clone.run("dvc", "repro", "prepare")
    dataset = json.loads((fresh_clone.root / "data/prepared/dataset.json").read_text())
    assert (dataset["input_shape"], len(dataset["classes"])) == ([28, 28, 1], 10)
    assert sum(dataset["counts"]["test"].values()) == 10_000
    assert (fresh_clone.root / "build/data/prepared/test").is_dir()


@pytest.mark.long
def test_an_experiment_on_fashion_mnist_needs_one_key_and_writes_through_links(
    fresh_clone: Clone, fashion_mnist: str
) -> None:
    fresh_clone.edit_params(
        SMALL | {"  limit: ": "  limit: 2000 ", "  trials: 40 ": "  trials: 1 ", "  epochs: 40 ": "  epochs: 6 "}
    )
    fresh_clone.link_outputs()
    fresh_clone.run("dvc", "exp", "run", "-S", f"data.source=idx:{fashion_mnist}")
    dataset = json.loads((fresh_clone.root / "data/prepared/dataset.json").read_text())
    assert (dataset["input_shape"], len(dataset["classes"])) == ([28, 28, 1], 10)
    reports = fresh_clone.root / "reports/evaluate"
    assert json.loads((reports / "details.json").read_text())["images"] == 2000
    assert json.loads((reports / "metrics.json").read_text())["accuracy"] > 0.6
    assert (fresh_clone.root / "build/reports/evaluate/metrics.json").is_file()
    assert (fresh_clone.root / "build/data/prepared/test").is_dir()
