"""The conversion of files travels with the network: from params.yaml to predict and the server."""

import base64
import csv
import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline import predict, prepare
from pipeline.data.dataset import Dataset, read_dataset, write_dataset
from pipeline.data.input_format import ImageFormat
from pipeline.data.value_range import BYTES
from pipeline.errors import UserError
from pipeline.inference.classifier import lineage, read_classifier
from pipeline.inference.image_inputs import find
from pipeline.inference.outliers import read_outliers
from pipeline.inference.read_input import read_input
from pipeline.sections import DataParams
from tests.pipeline.images.test_modes import NOISE, deep_png
from tests.pipeline.param_sections import data_params, params_with
from tests.pipeline.sources.loading import load

PADDED = ImageFormat(
    color_mode="grayscale", image_size=(4, 4), resize="pad", interpolation="nearest", background=(250, 250, 250)
)


def save_network(folder: Path, input_format: ImageFormat | None) -> Path:
    """A network for 4×4 images that answers `bright` if the first row is bright."""
    import keras

    from pipeline.cnn.keras_file import save_model

    model = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")]
    )
    weights = np.zeros((16, 2), np.float32)
    weights[:4] = [-0.01, 0.01]
    model.layers[-1].set_weights([weights, np.array([5.0, -5.0], np.float32)])
    save_model(model, folder / "model.keras", ("dark", "bright"), BYTES, input_format)
    return folder / "model.keras"


def dark_stripe(folder: Path) -> Path:
    """A black image twice as wide as high: with bright margins, its first row is bright."""
    Image.new("L", (8, 4), 0).save(folder / "stripe.png")
    return folder / "stripe.png"


def served(path: Path) -> Any:
    from pipeline.registry.pyfunc_model import ServedNetwork

    model = ServedNetwork()
    model.load_context(SimpleNamespace(artifacts={"model": str(path), "ood_detector": str(path.with_name("none"))}))
    return model


@pytest.mark.filterwarnings("ignore::UserWarning:mlflow")
@pytest.mark.parametrize(("input_format", "expected"), [(PADDED, "bright"), (None, "dark")])
def test_predict_and_the_server_convert_files_as_the_network_declares(
    tmp_path: Path, input_format: ImageFormat | None, expected: str
) -> None:
    path, image = save_network(tmp_path, input_format), dark_stripe(tmp_path)
    assert read_classifier(path).input_format == input_format
    (prediction,) = predict.predict(predict.load_network(str(path)), find([str(image)]), 1)
    assert prediction.classes[0][0] == expected
    content = base64.b64encode(image.read_bytes()).decode()
    assert [each["label"] for each in served(path).predict(None, [content])] == [expected]


@pytest.mark.filterwarnings("ignore::UserWarning:mlflow")
def test_the_server_refuses_a_request_whose_files_take_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.exceptions import MlflowException

    from pipeline.registry import pyfunc_model

    model = served(save_network(tmp_path, PADDED))
    content = base64.b64encode(dark_stripe(tmp_path).read_bytes()).decode()
    assert len(model.predict(None, [content] * 3)) == 3
    monkeypatch.setattr(pyfunc_model, "_MAX_SECONDS", 0.0)
    with pytest.raises(MlflowException, match=r"must be decoded within 0 s, got \d of 3 done by then; send fewer"):
        model.predict(None, [content] * 3)


def run(folder: Path, data: DataParams) -> Dataset:
    paths = prepare.Paths(folder / "prepared", folder / "reports")
    prepare.run(params_with(data=data, seed=1), paths)
    return read_dataset(folder / "prepared" / "dataset.json")


def test_prepare_records_the_format_with_which_files_are_read_again(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(10):
            pixels = numbers.integers(0, 256, (6 + number, 9, 4), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number}.png")
    data = data_params(
        source=f"images:{tmp_path / 'images'}", image_size=[5, 5], resize="pad", interpolation="bicubic",
        background=[90, 60, 30], color_mode="rgb",
    )  # fmt: skip
    dataset = run(tmp_path, data)
    assert dataset.input_format == ImageFormat(
        color_mode="rgb", image_size=(5, 5), resize="pad", interpolation="bicubic", background=(90, 60, 30)
    )
    names = json.loads((tmp_path / "prepared" / "test" / "names.json").read_text())
    images = np.load(tmp_path / "prepared" / "test" / "images.npy")
    for name, image in zip(names, images, strict=True):
        path = tmp_path / "images" / name
        for source in (path, path.read_bytes()):
            again = read_input(source, name, dataset.input_format, dataset.input_shape, dataset.value_range)
            assert (again.values == image).all()
    outliers = read_outliers(tmp_path / "images", dataset.input_shape, dataset.value_range, dataset.input_format)
    assert {each.tobytes() for each in images} <= {each.tobytes() for each in outliers}


def write_every_way_of_storing(folder: Path) -> list[Path]:
    """Write an image in each format and mode, with a name that says which."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (12, 20, 4), dtype=np.uint8)
    rgba, turned = Image.fromarray(noise), Image.Exif()
    turned[0x0112] = 6
    rgb, gray, deep = rgba.convert("RGB"), rgba.convert("L"), NOISE[..., 0]
    rgba.save(folder / "alpha.png")
    rgba.convert("LA").save(folder / "gray alpha.png")
    rgb.quantize(9).save(folder / "palette.png", transparency=3)
    rgb.convert("1").save(folder / "bits.tif")
    rgb.convert("CMYK").save(folder / "inks.jpg")
    rgb.save(folder / "turned.jpg", exif=turned)
    rgb.save(folder / "other.avif")
    rgba.save(folder / "other.webp")
    gray.save(folder / "film.gif", save_all=True, append_images=[gray.transpose(Image.Transpose.ROTATE_180)])
    gray.save(folder / "pages.tif", save_all=True, append_images=[gray])
    Image.fromarray(deep).save(folder / "deep gray.tif")
    (folder / "deep colour.png").write_bytes(deep_png(NOISE))
    return sorted(folder.iterdir())


@pytest.mark.parametrize("color_mode", ["grayscale", "rgb"])
def test_every_way_of_storing_is_read_alike_in_training_and_from_a_path_or_content(
    tmp_path: Path, color_mode: str
) -> None:
    written = {name: write_every_way_of_storing(tmp_path / "images" / name) for name in ("a", "b")}
    data = data_params(
        source=f"images:{tmp_path / 'images'}", color_mode=color_mode, image_size=[4, 4], resize="crop",
        background=[200, 100, 50],
    )  # fmt: skip
    source = load(data, seed=0)
    images, _ = source.parts["train"]
    assert source.names["train"] == [f"{name}/{path.name}" for name in "ab" for path in written[name]]
    for name, image in zip(source.names["train"], images[:], strict=True):
        path = tmp_path / "images" / name
        for given in (path, path.read_bytes()):
            again = read_input(given, name, source.input_format, image.shape, BYTES)
            assert (again.values == image).all(), name


def test_files_csv_says_how_each_file_was_converted(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_every_way_of_storing(tmp_path / "images" / name)
    data = data_params(source=f"images:{tmp_path / 'images'}", color_mode="grayscale", image_size=[4, 4])
    run(tmp_path, data)
    with (tmp_path / "reports" / "files.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    end = "resized to 4×4 (stretch)"
    found = {name.removeprefix("a/"): (row["mode"], row["converted"]) for name, row in rows.items() if name[0] == "a"}
    assert found == {
        "alpha.png": ("RGBA", f"transparency composed; RGBA to L; {end}"),
        "bits.tif": ("1", f"1 to L; {end}"),
        "deep colour.png": ("RGBA;16", f"scaled from 16 bits; transparency composed; RGB to grayscale; {end}"),
        "deep gray.tif": ("I;16", f"scaled from 16 bits; {end}"),
        "film.gif": ("P", f"first frame; P to L; {end}"),
        "gray alpha.png": ("LA", f"transparency composed; {end}"),
        "inks.jpg": ("CMYK", f"CMYK to L; {end}"),
        "other.avif": ("RGB", f"RGB to L; {end}"),
        "other.webp": ("RGBA", f"transparency composed; RGBA to L; {end}"),
        "pages.tif": ("L", f"first frame; {end}"),
        "palette.png": ("P", f"transparency composed; P to L; {end}"),
        "turned.jpg": ("RGB", f"RGB to L; upright; {end}"),
    }


def test_files_of_several_modes_can_be_an_error(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(10):
            mode = "RGB" if (name, number) == ("b", 3) else "L"
            image = Image.fromarray(np.random.default_rng(number).integers(0, 256, (6, 6), dtype=np.uint8))
            image.convert(mode).save(tmp_path / "images" / name / f"{number}.png")
    data = data_params(source=f"images:{tmp_path / 'images'}", strict=["mixed_modes"])
    expected = r"data\.strict: .*\n  mixed_modes: the files have 2 modes: L \(19\), RGB \(1\)"
    with pytest.raises(UserError, match=expected):
        run(tmp_path, data)
    assert not (tmp_path / "prepared").exists()


def test_arrays_declare_no_format() -> None:
    assert load(data_params(source="digits"), seed=0).input_format is None


def test_an_invalid_format_in_the_networks_file_is_reported(tmp_path: Path) -> None:
    path = save_network(tmp_path, PADDED)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["metadata.json"] = members["metadata.json"].replace(b'"pad"', b'"fold"')
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(UserError, match=r"input_format in metadata.json is invalid.*resize"):
        read_classifier(path)


def test_a_dataset_of_an_older_version_has_no_format(tmp_path: Path) -> None:
    dataset = Dataset(
        name="one", input_shape=(4, 4, 1), dtype="uint8", classes=("dark", "bright"), counts={}, mean=(0.0,),
        std=(1.0,), digests={}, duplicates={}, skipped=(), input_format=PADDED,
    )  # fmt: skip
    write_dataset(dataset, tmp_path / "dataset.json")
    assert read_dataset(tmp_path / "dataset.json") == dataset
    content = json.loads((tmp_path / "dataset.json").read_text())
    del content["input_format"]
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    assert read_dataset(tmp_path / "dataset.json").input_format is None


def test_networks_with_different_formats_are_not_comparable() -> None:
    dataset = Dataset(
        name="one", input_shape=(4, 4, 1), dtype="uint8", classes=("dark", "bright"), counts={}, mean=(0.0,),
        std=(1.0,), digests={}, duplicates={}, skipped=(),
    )  # fmt: skip
    former = dataset.model_copy(update={"input_format": ImageFormat(color_mode="grayscale", image_size=(4, 4))})
    padded = dataset.model_copy(update={"input_format": PADDED})
    assert lineage(former) == lineage(dataset) != lineage(padded)
