"""A worker maps the prepared data if its machine has them, and otherwise receives them."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.data.dataset import write_dataset
from pipeline.data.split import make_split, write_split
from pipeline.data.training_data import TrainingData, read_training_data
from pipeline.training.fingerprint import training_versions
from search.engine.mapped_data import place_of, unmapped
from search.engine.ray_engine import _Worker
from search.study.job import Job, RungResult
from tests.pipeline.training.trainings import PLAIN, figures, training

WEIGHTS = np.linspace(0.5, 2.0, 72, dtype=np.float32)
JOB = Job(PLAIN, training(), 1, (1.0,), 1, None)


def describe(job: Job, data: TrainingData) -> RungResult:
    """Return the file that the training images are mapped from, if any, and the digest of the split."""
    images, weights = data.train.images, data.train.weights
    assert weights is not None
    assert np.array_equal(weights, WEIGHTS)
    return RungResult(detail=f"{images.filename if isinstance(images, np.memmap) else 'no file'} {data.train.digest}")


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Folder of prepared data."""
    data = figures()
    (folder := tmp_path / "data").mkdir()
    train = make_split("train", data.train.images, data.train.labels, weights=WEIGHTS)
    digests = {"train": train.digest, "val": data.val.digest}
    write_dataset(data.dataset.model_copy(update={"digests": digests}), folder / "dataset.json")
    for split in (train, data.val):
        write_split(split, folder / split.name)
    return folder


def test_a_worker_maps_the_data_of_its_machine(prepared: Path) -> None:
    data = read_training_data(prepared)
    worker = _Worker(place_of(data, prepared), describe, prepared / "missing", training_versions())
    assert worker.get_ready()
    assert worker.run(JOB)[0].detail == f"{prepared / 'train' / 'images.npy'} {data.train.digest}"


@pytest.mark.parametrize("elsewhere", ["nothing", "other data"])
def test_a_worker_on_another_machine_receives_the_data(prepared: Path, tmp_path: Path, elsewhere: str) -> None:
    data, folder = read_training_data(prepared), tmp_path / "elsewhere"
    if elsewhere == "other data":
        other = figures(train=40)
        folder.mkdir()
        write_dataset(other.dataset, folder / "dataset.json")
        for split in (other.train, other.val):
            write_split(split, folder / split.name)
    worker = _Worker(place_of(data, folder), describe, prepared / "missing", training_versions())
    assert not worker.get_ready()
    assert worker.receive(unmapped(data))
    assert worker.run(JOB)[0].detail == f"no file {data.train.digest}"


def test_a_worker_works_in_the_folder_of_the_study_if_its_machine_has_it(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(prepared)
    place = place_of(read_training_data(prepared), prepared)
    _Worker(place, describe, prepared / "train", training_versions())
    _Worker(place, describe, prepared / "missing", training_versions())
    assert Path.cwd() == prepared / "train"
