"""The raw values of black and white: declared or detected by `prepare`, used by `predict` and by the served model."""

import base64
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mlflow.exceptions import MlflowException
from PIL import Image

from pipeline import predict, prepare
from pipeline.data.dataset import Dataset, read_dataset
from pipeline.data.input_format import ImageFormat
from pipeline.data.split import read_split
from pipeline.data.value_range import BYTES, ValueRange
from pipeline.errors import UserError
from pipeline.images.decode import read_image
from pipeline.inference.image_inputs import find
from tests.pipeline.param_sections import data_params, params_with

GRAYSCALE, RGB = ImageFormat(color_mode="grayscale"), ImageFormat(color_mode="rgb")
TWELVE_BITS = ValueRange(sixteen_bit=(0.0, 4095.0))


def run(folder: Path, **changes: object) -> Dataset:
    prepare.run(
        params_with(data=data_params(**changes), seed=1), prepare.Paths(folder / "prepared", folder / "reports")
    )
    return read_dataset(folder / "prepared" / "dataset.json")


def sixteen_bit_folder(root: Path, greatest: int, least: int = 0) -> str:
    """Two classes of 16-bit PNGs with values from `least` to `greatest`."""
    numbers = np.random.default_rng(0)
    for name in ("a", "b"):
        (root / "images" / name).mkdir(parents=True)
        for number in range(20):
            values = numbers.integers(least, greatest, (5, 4), dtype=np.uint16, endpoint=True)
            values[0, :2] = least, greatest
            Image.fromarray(values).save(root / "images" / name / f"{number}.png")
    return f"images:{root / 'images'}"


def arrays(root: Path, values: np.ndarray, **more: np.ndarray) -> str:
    np.savez(root / "mine.npz", x_train=values, y_train=np.arange(len(values)) % 2, **more)
    return f"npz:{root / 'mine.npz'}"


@pytest.mark.slow
def test_sixteen_bit_images_are_scaled_by_their_bit_depth(tmp_path: Path) -> None:
    dataset = run(tmp_path, source=sixteen_bit_folder(tmp_path, 65_535))
    assert dataset.value_range == BYTES
    images = read_split(tmp_path / "prepared" / "train", "train").images
    assert (images.min(), images.max()) == (0, 255)
    assert len(np.unique(images)) > 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("least", "greatest", "declared"),
    [
        (0, 255, "[0, 255]"),
        (3, 1000, "[0, 1023]"),
        (12, 4012, "[0, 4095]"),
        (0, 16_000, "[0, 16383]"),
        (20_000, 21_000, "[20000, 21000]"),
    ],
)
def test_a_small_part_of_the_sixteen_bit_range_is_reported_with_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], least: int, greatest: int, declared: str
) -> None:
    source = sixteen_bit_folder(tmp_path, greatest, least)
    remedy = f"set data.value_range: {declared}"
    try:
        run(tmp_path, source=source)
        message = capsys.readouterr().out
    except UserError as error:  # scaled to a single value
        message = str(error)
    assert f"files with 16 bits per value: 40; they use {least} to {greatest}" in message
    assert remedy in message
    black, white = (float(value) for value in declared.strip("[]").split(","))
    dataset = run(tmp_path, source=source, value_range=[black, white])
    assert dataset.value_range == ValueRange(sixteen_bit=(black, white))
    assert "data.value_range" not in capsys.readouterr().out
    assert len(np.unique(read_split(tmp_path / "prepared" / "train", "train").images)) > 100


def test_values_outside_a_declared_range_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, source=sixteen_bit_folder(tmp_path, 5000), value_range=[0.0, 4095.0])
    assert "use 0 to 5000; values outside data.value_range [0, 4095] are clipped" in capsys.readouterr().out


def test_transparent_sixteen_bit_pixels_are_black(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 50_000, np.uint16)).save(tmp_path / "clear.png", transparency=50_000)
    assert read_image(tmp_path / "clear.png", "clear", GRAYSCALE).values.max() == 0


def test_sixteen_bit_images_are_scaled_before_resizing_and_colour_conversion(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 4095, np.uint16)).save(tmp_path / "white.png")
    image = read_image(tmp_path / "white.png", "white", ImageFormat(color_mode="rgb", image_size=(6, 8)), TWELVE_BITS)
    assert image.values.shape == (6, 8, 3)
    assert image.values.dtype == np.uint8
    assert (image.values == 255).all()
    assert (image.size, image.sixteen_bit) == ((4, 4), (4095, 4095))


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_a_constant_split_is_refused(tmp_path: Path, kind: type) -> None:
    with pytest.raises(UserError, match="mine: train: images must not be constant, got 0 everywhere"):
        run(tmp_path, source=arrays(tmp_path, np.zeros((40, 4, 4), kind)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "expected", "message"),
    [
        (np.linspace(0, 1, 640).reshape(40, 4, 4), ValueRange(white=1.0), "0 is used as black and 1 as white"),
        (np.linspace(0, 255, 640).reshape(40, 4, 4), BYTES, ""),
        (np.linspace(-2, 3, 640).reshape(40, 4, 4), None, "the raw values of black and white are unknown"),
        (np.arange(640).reshape(40, 4, 4) % 17, None, "the raw values of black and white are unknown"),
        (np.arange(640, dtype=np.uint8).reshape(40, 4, 4) % 2, BYTES, "set data.value_range: [0, 1]"),
    ],
)
def test_the_range_of_arrays_follows_from_the_training_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], values: np.ndarray, expected: ValueRange | None, message: str
) -> None:
    assert run(tmp_path, source=arrays(tmp_path, values)).value_range == expected
    assert message in capsys.readouterr().out


def test_a_declared_range_applies_to_arrays(tmp_path: Path) -> None:
    source = arrays(tmp_path, np.arange(640).reshape(40, 4, 4) * 6)
    assert run(tmp_path, source=source, value_range=[0.0, 4095.0]).value_range == ValueRange(
        white=4095.0, sixteen_bit=(0.0, 4095.0)
    )
    with pytest.raises(UserError, match=r"from \d+ to 3\d\d\d in train, got \[0, 1\]; widen it"):
        run(tmp_path, source=source, value_range=[0.0, 1.0])


def test_black_must_be_below_white() -> None:
    with pytest.raises(UserError, match="black must be below white"):
        data_params(value_range=[1.0, 1.0])


@pytest.mark.slow
def test_arrays_that_seem_to_be_channels_first_are_refused_or_transposed(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (40, 3, 12, 12), dtype=np.uint8)
    source = arrays(tmp_path, values)
    with pytest.raises(UserError, match=r"seems to have 3 channels first; set data\.channels: first"):
        run(tmp_path, source=source)
    assert run(tmp_path, source=source, channels="last").input_shape == (3, 12, 12)
    assert run(tmp_path, source=source, channels="first").input_shape == (12, 12, 3)
    train = read_split(tmp_path / "prepared" / "train", "train").images
    assert all((values == image.transpose(2, 0, 1)).all(axis=(1, 2, 3)).any() for image in train)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(40, 4, 4, 5), (40, 4, 9, 2), (40, 5, 4, 9)])
def test_other_shapes_are_channels_last(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert run(tmp_path, source=arrays(tmp_path, values)).input_shape == shape[1:]


def network(folder: Path, value_range: ValueRange | None) -> Path:
    """A network that classifies 4×4 grey images as dark or bright, with its threshold in the middle of the range."""
    import keras

    from pipeline.cnn.keras_file import save_model

    black, white = (0.0, 1.0) if value_range is None else value_range.bounds
    model = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")]
    )
    slope = np.full(16, 10.0 / 16 / (white - black))
    weights = np.stack([-slope, slope], axis=1).astype(np.float32)
    middle = 10.0 * (black + white) / 2 / (white - black)
    model.layers[-1].set_weights([weights, np.array([middle, -middle], np.float32)])
    save_model(model, folder / "model.keras", ("dark", "bright"), value_range)
    return folder / "model.keras"


def pictures(folder: Path) -> list[Path]:
    """Write dark and bright images of 8 and 16 bits."""
    Image.new("L", (4, 4), 5).save(folder / "night.png")
    Image.new("L", (4, 4), 250).save(folder / "day.png")
    Image.fromarray(np.full((4, 4), 200, np.uint16)).save(folder / "night16.png")
    Image.fromarray(np.full((4, 4), 3900, np.uint16)).save(folder / "day16.png")
    return [folder / name for name in ("night.png", "day.png", "night16.png", "day16.png")]


@pytest.mark.parametrize(
    "value_range",
    [
        TWELVE_BITS,
        ValueRange(white=1.0, sixteen_bit=(0.0, 4095.0)),
        ValueRange(black=-1.0, white=1.0, sixteen_bit=(0.0, 4095.0)),
        ValueRange(white=4095.0, sixteen_bit=(0.0, 4095.0)),
    ],
)
def test_predict_and_the_server_scale_files_into_the_networks_range(tmp_path: Path, value_range: ValueRange) -> None:
    path, files = network(tmp_path, value_range), pictures(tmp_path)
    expected = ["dark", "bright", "dark", "bright"]
    predictions = predict.predict(predict.load_network(str(path)), find([str(file) for file in files]), 1)
    assert [prediction.classes[0][0] for prediction in predictions] == expected
    encoded = [base64.b64encode(file.read_bytes()).decode() for file in files]
    assert [prediction["label"] for prediction in served(path).predict(None, encoded)] == expected


def served(path: Path):
    with warnings.catch_warnings():  # MLflow warns about its own types
        warnings.simplefilter("ignore", UserWarning)
        from pipeline.registry.pyfunc_model import ServedNetwork

    model = ServedNetwork()
    model.load_context(SimpleNamespace(artifacts={"model": str(path), "ood_detector": str(path.with_name("none"))}))
    return model


def test_image_files_are_refused_without_a_value_range(tmp_path: Path) -> None:
    path, files = network(tmp_path, None), pictures(tmp_path)
    with pytest.raises(UserError, match=r"cannot classify files.*set data.value_range: \[black, white\]"):
        list(predict.predict(predict.load_network(str(path)), find([str(files[0])]), 1))
    with pytest.raises(MlflowException, match="image files cannot be scaled"):
        served(path).predict(None, [base64.b64encode(files[0].read_bytes()).decode()])
    assert served(path).predict(None, [np.full((4, 4), 7.0).tolist()])[0]["label"] == "bright"


@pytest.mark.parametrize(
    ("white", "value", "message"),
    [(1.0, 250.0, "like the training data, got values from 250 to 250"), (255.0, 0.5, "multiply them by 255")],
)
def test_the_server_refuses_values_of_another_range(tmp_path: Path, white: float, value: float, message: str) -> None:
    model = served(network(tmp_path, ValueRange(white=white)))
    with pytest.raises(MlflowException, match=message):
        model.predict(None, [np.full((4, 4), value).tolist()])


def test_predict_reports_sixteen_bit_files_that_use_a_small_part_of_the_range(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, files = network(tmp_path, BYTES), pictures(tmp_path)
    list(predict.predict(predict.load_network(str(path)), find([str(files[3])]), 1))
    assert "day16.png has 16 bits per value and uses 3900 to 3900" in capsys.readouterr().err
