"""The stage evaluate, on a network whose answers are known."""

import csv
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from pipeline import evaluate
from pipeline.cnn.keras_file import save_model
from pipeline.data.dataset import Dataset, write_dataset
from pipeline.data.split import make_split, write_split
from pipeline.params import load_params
from pipeline.params.sections import METRICS
from pipeline.terminal import UserError
from pipeline.tracking import RunRecord, write_record

PARAMS = load_params(Path(__file__).resolve().parents[2] / "params.yaml").evaluate
CLASSES = ("dark", "bright")
SHARE = {"dark": 20, "bright": 20}


@pytest.fixture(autouse=True)
def finished_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> None:
    """A folder in which a network was trained that calls an image bright if its pixel is above 127."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    image = keras.Input((1, 1, 1), dtype="float32")
    scores = keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(image))
    model = keras.Model(image, scores)
    model.set_weights([np.array([[-0.05, 0.05]]), np.array([0.05 * 127.5, -0.05 * 127.5])])
    save_model(model, Path("model.keras"), CLASSES)
    pixels = np.concatenate([np.arange(20), 255 - np.arange(20)]).astype(np.uint8)
    labels = np.repeat([0, 1], 20)
    labels[[3, 25]] = labels[[25, 3]]  # two images are labelled wrongly
    test = make_split("test", pixels.reshape(-1, 1, 1, 1), labels)
    write_split(test, Path("test"))
    write_dataset(
        Dataset(
            name="light", input_shape=(1, 1, 1), dtype="uint8", classes=CLASSES, counts={"test": SHARE}, mean=(127.5,),
            std=(100.0,), digests={"test": test.digest}, duplicates={}, skipped=(),
        ),
        Path("dataset.json"),
    )  # fmt: skip
    write_record(RunRecord("training", "0123456789abcdef", "train light"), Path("run.json"))


def run(reports: str = "reports", model: str = "model.keras") -> Path:
    evaluate.run(PARAMS, 1, Path(model), Path("test"), Path("dataset.json"), Path("run.json"), Path(reports))
    return Path(reports)


def test_the_figures_are_those_of_the_test_split(capsys: pytest.CaptureFixture[str]) -> None:
    reports = run()
    metrics = json.loads((reports / "metrics.json").read_text())
    assert metrics["accuracy"] == 38 / 40
    assert tuple(metrics) == METRICS
    assert metrics["accuracy_low"] < 0.95 < metrics["accuracy_high"]
    assert all(isinstance(value, int | float) for value in metrics.values())  # flat, as dvc metrics diff wants it
    assert "2 mistakes in 40 images" in capsys.readouterr().out


def test_tables_name_the_classes() -> None:
    reports = run()
    rows = list(csv.DictReader((reports / "classes.csv").read_text().splitlines()))
    assert [(row["class"], row["support"]) for row in rows] == [("dark", "20"), ("bright", "20")]
    confusion = list(csv.DictReader((reports / "confusion.csv").read_text().splitlines()))
    assert len(confusion) == 40
    assert sum(row["actual"] == "dark" and row["predicted"] == "bright" for row in confusion) == 1


@pytest.mark.parametrize("name", evaluate.PICTURES)
def test_pictures_are_drawn(name: str) -> None:
    with Image.open(run() / name) as picture:
        assert min(picture.size) > 200
        assert len(np.unique(np.asarray(picture.convert("L")))) > 10


def test_two_runs_give_the_same_bytes() -> None:
    first = {path.name: path.read_bytes() for path in run().iterdir()}
    assert {path.name: path.read_bytes() for path in run().iterdir()} == first


def test_an_earlier_report_is_replaced_as_a_whole() -> None:
    Path("reports").mkdir()
    Path("reports/old.csv").write_text("old")
    assert not (run() / "old.csv").exists()


def test_a_network_for_other_images_is_refused_and_nothing_is_written() -> None:
    image = keras.Input((2, 2, 1), dtype="float32")
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(image)))
    save_model(model, Path("other.keras"), ("a", "b", "c"))
    with pytest.raises(UserError, match=r"other\.keras: must take images of \[1, 1, 1\] and tell 2 classes apart"):
        run(model="other.keras")
    assert not Path("reports").exists()


def test_the_training_split_is_no_test_split() -> None:
    shutil.rmtree("test")
    write_split(make_split("train", np.zeros((4, 1, 1, 1), np.uint8), np.array([0, 1, 0, 1])), Path("test"))
    with pytest.raises(UserError, match="must hold the test split, got the train split"):
        run()
