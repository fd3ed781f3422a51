"""The command predict."""

import csv
import io
import json
import sys
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import predict
from pipeline.errors import UserError
from pipeline.evaluation.ood import fit_ood_detector, write_ood_detector
from pipeline.images.file_formats import SUFFIXES
from pipeline.inference.classifier import OOD_DETECTOR
from pipeline.inference.image_inputs import ImageInput, find
from pipeline.interpretation.network_outputs import NetworkOutputs


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A network that classifies 4×4 grayscale images as dark or bright."""
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
    """A dark image, and a bright one with another size, colour mode and format."""
    Image.new("L", (4, 4), 5).save(tmp_path / "night.png")
    Image.new("RGB", (9, 7), (250, 250, 250)).save(tmp_path / "day.jpg")
    return [tmp_path / "night.png", tmp_path / "day.jpg"]


def _main(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["predict", *map(str, arguments)])
    return predict.main()


def predictions(model: Path, *names: object, top: int = 1) -> list[predict.Prediction]:
    return list(predict.predict(predict.load_network(str(model)), find([str(name) for name in names]), top))


def test_images_are_converted_as_in_training_with_one_note(
    model: Path, images: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    printed = predictions(model, *images, images[1])
    assert [each.classes[0][0] for each in printed] == ["dark", "bright", "bright"]
    note = f"note: {images[1]} is 7×9 RGB; such images are converted to 4×4 grayscale, as in training\n"
    assert capsys.readouterr().err == note


def test_images_that_need_no_conversion_print_no_note(
    model: Path, images: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    predictions(model, images[0])
    assert capsys.readouterr().err == ""


def test_the_most_probable_class_comes_first(model: Path, images: list[Path]) -> None:
    (prediction,) = predictions(model, images[1], top=5)
    assert [name for name, _ in prediction.classes] == ["bright", "dark"]
    assert sum(value for _, value in prediction.classes) == pytest.approx(1.0)


def test_a_folder_a_pattern_and_a_list_of_names_are_expanded_to_images(
    model: Path, images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "new"
    (folder / "deep").mkdir(parents=True)
    (folder / "notes.txt").write_text("no image")
    inside = [folder / "a.PNG", folder / "b.png", folder / "deep" / "c.png"]
    for path in inside:
        Image.new("L", (4, 4), 5).save(path, "PNG")
    assert [each.image for each in predictions(model, folder)] == [str(path) for path in inside]
    assert [each.image for each in predictions(model, folder / "*.png")] == [str(inside[1])]
    assert [each.image for each in predictions(model, folder / "**" / "*.png")] == [str(path) for path in inside[1:]]
    for listed in (f"{inside[2]}\n\n{folder}\n", f"{inside[2]}\0{folder}\0"):  # also the output of find -print0
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(listed.encode()))))
        assert [each.image for each in predictions(model, "-")] == [str(path) for path in (inside[2], *inside)]


def test_an_image_is_read_from_standard_input(model: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for path, expected in zip(images, ("dark", "bright"), strict=True):
        content = io.BufferedReader(io.BytesIO(path.read_bytes()))
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(content))
        (prediction,) = predictions(model, "-")
        assert (prediction.image, prediction.classes[0][0]) == ("standard input", expected)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty", f"must contain files ({', '.join(SUFFIXES)}), but the folder has none"),
        ("no-*.png", "must match at least one file, but matches none"),
        ("none.png", "no such file"),
        ("-", "must be a file or a list of file names, but is empty"),
    ],
)
def test_a_name_without_an_image_is_reported(
    model: Path, images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(b""))))
    given = name if name == "-" else tmp_path / name
    failed, image = predictions(model, given, images[0])
    assert message in failed.error
    assert image.classes


def test_many_images_are_streamed(model: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictions are yielded before the paths of later batches are read."""
    requested: list[int] = []

    def endless() -> Iterator[ImageInput]:
        for number in count():
            requested.append(number)
            yield ImageInput(str(images[0]))

    printed = predict.predict(predict.load_network(str(model)), endless(), 1)
    assert [each.classes[0][0] for each in islice(printed, 600)] == ["dark"] * 600
    assert len(requested) <= 3 * 256


def test_unfamiliar_images_are_marked_in_every_format(
    model: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.zeros((4, 4), np.uint8)
    pixels[:2] = 250
    Image.fromarray(pixels).save(images[1])
    from pipeline.cnn.keras_file import load_model, model_digest

    dark = np.random.default_rng(0).normal(5.0, 1.0, (50, 16))
    seen = NetworkOutputs(dark, np.zeros((50, 2)))
    digest = model_digest(load_model(model))
    write_ood_detector(
        fit_ood_detector(digest, seen, np.zeros(50, int), [seen], "features", 0.05), model.parent / OOD_DETECTOR
    )
    assert [each.unfamiliar for each in predictions(model, *images)] == [False, True]
    capsys.readouterr()
    _main(monkeypatch, *images, "--model", model)
    assert [line.endswith("unfamiliar") for line in capsys.readouterr().out.splitlines()] == [False, True]
    _main(monkeypatch, *images, "--model", model, "--format", "json")
    assert [each["unfamiliar"] for each in json.loads(capsys.readouterr().out)] == [False, True]
    _main(monkeypatch, *images, "--model", model, "--format", "csv", "--top", 1)
    rows = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert [row["unfamiliar"] for row in rows] == ["false", "true"]


def test_the_detector_of_another_network_is_ignored(model: Path, images: list[Path]) -> None:
    seen = NetworkOutputs(np.ones((50, 9)), np.zeros((50, 2)))
    known = fit_ood_detector("another", seen, np.zeros(50, int), [seen], "features", 0.05)
    write_ood_detector(known, model.parent / OOD_DETECTOR)
    assert [each.unfamiliar for each in predictions(model, *images)] == [None, None]


def test_heat_maps_are_written_for_all_readable_images(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.cnn.architecture import Architecture
    from pipeline.cnn.build import build
    from pipeline.cnn.keras_file import save_model
    from pipeline.params import Block, Head

    block = Block(filters=3, kernel_size=3, pooling="max", pool_size=2)
    architecture = Architecture(input_shape=(8, 8, 1), classes=2, blocks=(block,), head=Head())
    save_model(build(architecture, (0.0,), (255.0,)), tmp_path / "small.keras", ("dark", "bright"))
    missing = tmp_path / "none.png"
    maps = tmp_path / "maps"
    status = _main(monkeypatch, images[0], missing, images[1], "--model", tmp_path / "small.keras", "--heat-maps", maps)
    assert status == 1
    assert sorted(path.name for path in maps.iterdir()) == ["00001-night.png", "00002-day.png"]
    for path in maps.iterdir():
        with Image.open(path) as picture:
            assert np.asarray(picture.convert("L")).std() > 5  # something is drawn


def test_heat_maps_of_a_long_series_show_the_parts_that_support_its_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.cnn.architecture import Architecture
    from pipeline.cnn.build import build
    from pipeline.cnn.keras_file import save_model
    from pipeline.data.series_format import SeriesFormat
    from pipeline.params import Block, Head
    from pipeline.plots.heat_maps import draw_saliency

    architecture = Architecture(input_shape=(8, 1), classes=2, blocks=(Block(filters=3, pooling="none"),), head=Head())
    form = SeriesFormat(
        window=8, channels=1, hop=8, rate=None, time_column=None, lengths="error", missing="error"
    )  # fmt: skip
    save_model(build(architecture, (0.0,), (1.0,)), tmp_path / "small.keras", ("a", "b"), None, form)
    values = np.random.default_rng(0).normal(size=8 * 15)
    (tmp_path / "long.csv").write_text("\n".join(map(str, values)))
    (tmp_path / "short.csv").write_text("\n".join(map(str, values[:8])))
    drawn: dict[str, list[str]] = {}

    def draw(parts: np.ndarray, titles: list[str], *others: object) -> object:
        drawn[titles[0].partition(",")[1] or "whole"] = titles
        assert len(parts) == len(titles)
        return draw_saliency(parts, titles, *others)  # type: ignore[arg-type]

    monkeypatch.setattr("pipeline.plots.heat_maps.draw_saliency", draw)
    names = tmp_path / "long.csv", tmp_path / "short.csv"
    assert _main(monkeypatch, *names, "--model", tmp_path / "small.keras", "--heat-maps", tmp_path / "maps") == 0
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["00001-long.png", "00002-short.png"]
    assert "has 15 parts; heat maps show the 12 in which" in capsys.readouterr().err
    places = [int(title.split("part ")[1].split()[0]) for title in drawn[","]]
    assert places == sorted(set(places))
    assert (len(places), len(drawn["whole"])) == (12, 1)


def test_heat_maps_of_a_network_without_convolutions_are_refused(
    model: Path, images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="--heat-maps: requires a network with a convolution"):
        _main(monkeypatch, *images, "--model", model, "--heat-maps", tmp_path / "maps")


def test_an_unreadable_file_is_reported_and_the_others_are_classified(
    model: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = images[0].with_name("broken.png")
    broken.write_bytes(b"no image")
    status = _main(monkeypatch, images[0], broken, images[1], images[1].with_name("none.png"), "--model", model)
    printed = capsys.readouterr()
    assert status == 1
    assert [line.split()[1] for line in printed.out.splitlines()] == ["dark", "bright"]
    one, other = (line for line in printed.err.splitlines() if line.startswith("error: "))
    assert "broken.png" in one
    assert "none.png" in other


def test_json_has_an_object_for_each_image(
    model: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = images[0].with_name("none.png")
    _main(monkeypatch, *images, missing, "--model", model, "--top", 1, "--format", "json")
    records = json.loads(capsys.readouterr().out)
    assert [record["image"] for record in records] == [str(path) for path in (*images, missing)]
    assert records[0]["predictions"][0]["class"] == "dark"
    assert "no such file" in records[2]["error"]


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
def test_the_default_model_is_the_champion_named_in_params(
    images: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    params = Path(__file__).parents[2] / "params.yaml"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"models:/.+@champion: not found.*dvc repro"):
        _main(monkeypatch, *images, "--params", params)


def _save_network(folder: Path, shape: tuple[int | None, ...], *outputs: int) -> str:
    """Save a network for images of a shape, with one output for each number of units; return its path."""
    import keras

    from pipeline.cnn.keras_file import save_model

    image = keras.Input(shape)
    pooled = keras.layers.GlobalAveragePooling2D()(image)
    save_model(keras.Model(image, [keras.layers.Dense(units)(pooled) for units in outputs]), folder / "other.keras")
    return str(folder / "other.keras")


@pytest.mark.parametrize(
    ("shape", "outputs", "message"),
    [
        ((None, None, 1), (2,), "input shape must be a fixed"),
        ((4, 4, 1), (2, 2), "output must be one probability for each of two or more classes"),
        ((4, 4, 1), (1,), "output must be one probability for each of two or more classes"),
    ],
)
def test_a_network_that_is_not_an_image_classifier_is_refused(
    tmp_path: Path, shape: tuple[int | None, ...], outputs: tuple[int, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        predict.load_network(_save_network(tmp_path, shape, *outputs))


def test_a_network_that_was_never_built_is_refused(tmp_path: Path) -> None:
    import keras

    with pytest.warns(UserWarning, match="has not yet been built"):
        keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)]).save(tmp_path / "new.keras")
    with pytest.raises(UserError, match="must have a defined input shape"):
        predict.load_network(str(tmp_path / "new.keras"))


def test_an_empty_model_argument_is_refused(images: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"--model: must be models:/NAME@ALIAS or a \.keras file, got ''"):
        _main(monkeypatch, *images, "--model", "")


def test_top_must_be_positive(images: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="--top: must be at least 1, got 0"):
        _main(monkeypatch, *images, "--top", 0)
