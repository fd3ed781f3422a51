import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import predict
from pipeline.terminal import UserError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A network of 4×4 grey pixels that tells dark from bright."""
    import keras

    from pipeline.cnn.keras_file import save_model

    network = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")]
    )
    weights = np.stack([np.full(16, -0.01), np.full(16, 0.01)], axis=1).astype(np.float32)
    network.layers[-1].set_weights([weights, np.array([20.0, -20.0], np.float32)])
    save_model(network, tmp_path / "model.keras", ("dark", "bright"))
    return tmp_path / "model.keras"


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """A dark one, and a bright one of another size, colour mode and format."""
    Image.new("L", (4, 4), 5).save(tmp_path / "night.png")
    Image.new("RGB", (9, 7), (250, 250, 250)).save(tmp_path / "day.jpg")
    return [tmp_path / "night.png", tmp_path / "day.jpg"]


def _main(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["predict", *map(str, arguments)])
    return predict.main()


def test_images_are_converted_as_at_training(model: Path, images: list[Path]) -> None:
    answers = predict.predict(predict.load_network(str(model)), images, top=1)
    assert [answer.predictions[0][0] for answer in answers] == ["dark", "bright"]


def test_the_likeliest_class_stands_first(model: Path, images: list[Path]) -> None:
    (answer,) = predict.predict(predict.load_network(str(model)), images[1:], top=5)
    assert [name for name, _ in answer.predictions] == ["bright", "dark"]
    assert sum(value for _, value in answer.predictions) == pytest.approx(1.0)


def test_an_unreadable_file_is_told_and_the_others_answered(
    model: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = images[0].with_name("broken.png")
    broken.write_bytes(b"no image")
    status = _main(monkeypatch, images[0], broken, images[1], images[1].with_name("none.png"), "--model", model)
    told = capsys.readouterr()
    assert status == 1
    assert [line.split()[1] for line in told.out.splitlines()] == ["dark", "bright"]
    assert "broken.png" in told.err.splitlines()[0]
    assert "none.png" in told.err.splitlines()[1]


def test_json_has_an_object_for_each_image(
    model: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = images[0].with_name("none.png")
    _main(monkeypatch, *images, missing, "--model", model, "--top", 1, "--format", "json")
    answers = json.loads(capsys.readouterr().out)
    assert [answer["image"] for answer in answers] == [str(path) for path in (*images, missing)]
    assert answers[0]["predictions"][0]["class"] == "dark"
    assert "no such file" in answers[2]["error"]


def test_csv_has_a_row_for_each_image_and_class(
    model: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(monkeypatch, *images, "--model", model, "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["rank"], row["class"]) for row in rows] == [
        ("1", "dark"),
        ("2", "bright"),
        ("1", "bright"),
        ("2", "dark"),
    ]


@pytest.mark.slow
def test_the_champion_of_params_is_the_default(
    images: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    params = Path(__file__).parents[2] / "params.yaml"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"models:/.+@champion: not found.*dvc repro"):
        _main(monkeypatch, *images, "--params", params)


def test_a_network_for_other_than_images_is_refused(tmp_path: Path) -> None:
    import keras

    from pipeline.cnn.keras_file import save_model

    series = keras.Sequential([keras.Input((16, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    save_model(series, tmp_path / "series.keras")
    with pytest.raises(UserError, match="must take images"):
        predict.load_network(str(tmp_path / "series.keras"))


def _saved(folder: Path, shape: tuple[int | None, ...], *outputs: int) -> str:
    """A network of such images with an output of so many units each."""
    import keras

    from pipeline.cnn.keras_file import save_model

    image = keras.Input(shape)
    pooled = keras.layers.GlobalAveragePooling2D()(image)
    save_model(keras.Model(image, [keras.layers.Dense(units)(pooled) for units in outputs]), folder / "other.keras")
    return str(folder / "other.keras")


@pytest.mark.parametrize(
    ("shape", "outputs", "told"),
    [
        ((None, None, 1), (2,), "must take images of one size"),
        ((4, 4, 2), (2,), "must take images of one size"),
        ((4, 4, 1), (2, 2), "must give a probability for each of two or more classes"),
        ((4, 4, 1), (1,), "must give a probability for each of two or more classes"),
    ],
)
def test_a_network_that_is_no_classifier_of_images_is_refused(
    tmp_path: Path, shape: tuple[int | None, ...], outputs: tuple[int, ...], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        predict.load_network(_saved(tmp_path, shape, *outputs))


def test_a_network_that_was_never_built_is_refused(tmp_path: Path) -> None:
    import keras

    with pytest.warns(UserWarning, match="has not yet been built"):
        keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)]).save(tmp_path / "new.keras")
    with pytest.raises(UserError, match="must know what it takes"):
        predict.load_network(str(tmp_path / "new.keras"))


def test_a_folder_is_told_to_be_one(model: Path, tmp_path: Path) -> None:
    (answer,) = predict.predict(predict.load_network(str(model)), [tmp_path], top=1)
    assert answer.error == f"{tmp_path}: must be an image file, got a folder; name the files in it"


def test_an_empty_model_is_not_the_champion(images: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"--model: must be models:/NAME@ALIAS or a \.keras file, got ''"):
        _main(monkeypatch, *images, "--model", "")


def test_top_must_be_positive(images: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="--top: must be at least 1, got 0"):
        _main(monkeypatch, *images, "--top", 0)
