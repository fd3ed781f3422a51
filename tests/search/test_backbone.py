"""Studies whose baseline is a backbone."""

import csv
import io
import shutil
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from pipeline.cnn.candidate import read_candidate
from pipeline.data.dataset import write_dataset
from pipeline.data.split import write_split
from pipeline.data.training_data import TrainingData
from pipeline.params.model import BackboneParams
from search.engine.process_engine import ProcessEngine
from search.study.job import Engine, Job
from tests.pipeline.backbones.files import SMALL, architecture, save_random_weights
from tests.pipeline.training.trainings import figures, training
from tests.search.engine.test_ray_engine import RAY, cluster_of
from tests.search.project import Make, Project
from tests.search.study.test_config import configured

WEIGHTS = "data/weights/small.weights.h5"
CHANGES = {
    "  backbone:  ": f"  backbone: {{name: mobilenet, alpha: 0.25, weights: {WEIGHTS}, learning_rate: 0.02}} ",
    "  epochs: 40 ": "  epochs: 1 ",
    "  trials: 40 ": "  trials: 2 ",
    "  epochs: 18 ": "  epochs: 2 ",
    "  reduction_factor: 3 ": "  reduction_factor: 2 ",
    "  min_steps: 120 ": "  min_steps: 0 ",
    "    count: 3 ": "    count: 0 ",
    "  engine: processes ": "  engine: inline ",
    "  workers: 2 ": "  workers: 1 ",
    "    max_params: 200000 ": "    max_params: 300000 ",
    "    max_macs: 5000000 ": "    max_macs: 9000000 ",
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.weights.h5"
    save_random_weights(path)
    return path


@pytest.mark.slow
def test_another_file_of_weights_is_another_study(tmp_path: Path) -> None:
    names = []
    for content in (b"one", b"another", b"one"):
        (path := tmp_path / "small.weights.h5").write_bytes(content)
        model = {"blocks": (), "backbone": BackboneParams.model_validate(SMALL | {"weights": str(path)})}
        names.append(configured(model=model, budget={"max_params": None, "max_macs": None}).name)
        path.unlink()
    assert names[0] == names[2] != names[1]


def require_continuation(engine: Engine, file: Path) -> None:
    """Require that two rungs of a backbone end in the same bytes as one, whichever workers train them."""
    rungs = Job(
        architecture(weights=str(file), fine_tune="last"), training(epochs=2), seed=1, shares=(1.0, 1.0), until=1,
        state=None,
    )  # fmt: skip
    engine.submit(0, replace(rungs, until=2))
    engine.submit(1, rungs)
    whole, first = (engine.wait(number)[1] for number in range(2))
    engine.submit(2, replace(rungs, until=2, state=first.state))
    rest = engine.wait(2)[1]
    assert rest.state == whole.state
    assert rest.history == whole.history
    assert rest.compute_dtype == "float32"
    assert first.state != whole.state


def write_data(folder: Path) -> TrainingData:
    data = figures(train=32, val=16)
    write_dataset(data.dataset, folder / "dataset.json")
    for split in (data.train, data.val):
        write_split(split, folder / split.name)
    return data


@pytest.mark.long
def test_process_workers_train_a_backbone_and_continue_what_another_one_started(tmp_path: Path, file: Path) -> None:
    with closing(ProcessEngine(write_data(tmp_path), 2, folder=tmp_path)) as engine:
        require_continuation(engine, file)


@pytest.mark.long
def test_ray_workers_train_a_backbone_whose_file_has_a_relative_path(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workers of a cluster start in the folder in which Ray was started."""
    from search.engine.ray_engine import RayEngine

    data = write_data(tmp_path)
    shutil.copy(file, tmp_path / "copy.weights.h5")
    with cluster_of({"num_cpus": 2}) as cluster:
        monkeypatch.chdir(tmp_path)
        settings = RAY.model_copy(update={"address": cluster.address})
        with closing(RayEngine(data, settings, 2, threads=1, folder=tmp_path)) as engine:
            require_continuation(engine, Path("copy.weights.h5"))


def project(make: Make, root: Path, weights: Path, **changes: str) -> Project:
    made = make(root, CHANGES | changes)
    (root / WEIGHTS).parent.mkdir()
    shutil.copy(weights, root / WEIGHTS)
    return made


@pytest.mark.long
def test_a_study_with_a_backbone_that_is_killed_ends_in_the_same_bytes(tmp_path: Path, make: Make, file: Path) -> None:
    whole = project(make, tmp_path / "whole", file)
    workers = {"  engine: processes ": "  engine: processes ", "  workers: 2 ": "  workers: 2 "}
    killed = project(make, tmp_path / "killed", file, **workers)
    status, out, err = whole.run()
    assert status == 0, err
    assert "baseline: mobilenet 0.25 (frozen), global average pool" in out
    killed.kill_after("rungs after epochs")
    killed.kill_after("trial ")
    status, again, err = killed.run()
    assert status == 0, err
    assert " of 2 trials done" in again
    assert killed.outputs() == whole.outputs()

    rows = list(csv.DictReader(io.StringIO(whole.outputs()["trials.csv"].decode())))
    assert [row["effective.backbone"] for row in rows] == ["mobilenet", ""]
    assert rows[0]["effective.learning_rate"] == "0.02"
    baseline = read_candidate(whole.root / "models/baseline.yaml").architecture.backbone
    assert baseline is not None
    assert baseline.sha256 == sha256(file.read_bytes()).hexdigest()
    status, out, err = whole.status()
    assert status == 0, err
    assert "2 of 2" in out

    save_random_weights(whole.root / WEIGHTS, seed=2)
    process = whole.start()
    assert process.stdout is not None
    assert any(text.startswith("starting a new study") for text in process.stdout)
    process.kill()
    process.communicate()
    (whole.root / WEIGHTS).unlink()
    status, _, err = whole.run()
    assert status == 1
    (message,) = [line for line in err.splitlines() if line.startswith("error:")]
    assert f"model.backbone.weights: {WEIGHTS}: no such file; it is never downloaded" in message
