"""Saved networks: equal networks produce equal bytes, Keras alone loads them, and unsafe files are refused."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline.backend.predictor import predict_probabilities
from pipeline.cnn.architecture import Architecture
from pipeline.cnn.build import build
from pipeline.cnn.keras_file import load_model, model_digest, read_classes, save_model
from pipeline.errors import UserError
from pipeline.params import Block, Head
from tests.pipeline.training.trainings import CLASSES, PLAIN, ROOT

EXAMPLES = sorted((ROOT / "examples" / "architectures").glob("*.yaml"))
# Every kind of layer, and initializers, which Keras identifies by their memory address.
VARIED = Architecture(
    input_shape=(12, 12, 1),
    classes=2,
    blocks=(
        Block(filters=4, convs=2, normalization="batch", residual=True, attention="squeeze_excite", pooling="min"),
        Block(filters=6, convolution="separable", pooling="sum", activation="gelu", dropout=0.1),
    ),
    head=Head(kind="convolution", dense=(5,), dropout=0.2),
)


def network(architecture: Architecture = VARIED, seed: int = 1) -> keras.Model:
    channels = architecture.input_shape[-1]
    return build(architecture, (100.0,) * channels, (50.0,) * channels, seed=seed)


def raw_images(architecture: Architecture) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (5, *architecture.input_shape), dtype=np.uint8)


def run_in_subprocess(code: str, cwd: Path, *arguments: object, isolated: bool = False) -> str:
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [sys.executable, *(["-I"] if isolated else []), "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_equal_networks_produce_equal_files(tmp_path: Path) -> None:
    save_model(network(), tmp_path / "one.keras", CLASSES)
    keras.layers.Dense(3)  # advances Keras's numbering of objects
    save_model(network(), tmp_path / "other" / "name.keras", CLASSES)
    assert (tmp_path / "one.keras").read_bytes() == (tmp_path / "other" / "name.keras").read_bytes()


@pytest.mark.long
def test_another_process_produces_an_equal_file(tmp_path: Path) -> None:
    save_model(network(), tmp_path / "here.keras", CLASSES)
    code = (
        "import sys; from pathlib import Path; from pipeline.cnn.keras_file import save_model\n"
        "from tests.pipeline.cnn.test_keras_file import CLASSES, network\n"
        "save_model(network(), Path(sys.argv[1]), CLASSES)"
    )
    run_in_subprocess(code, ROOT, tmp_path / "there.keras")
    assert (tmp_path / "there.keras").read_bytes() == (tmp_path / "here.keras").read_bytes()


def test_other_weights_produce_another_file(tmp_path: Path) -> None:
    for seed in (1, 2):
        save_model(network(seed=seed), tmp_path / f"{seed}.keras")
    assert (tmp_path / "1.keras").read_bytes() != (tmp_path / "2.keras").read_bytes()


def test_a_file_contains_no_timestamps(tmp_path: Path) -> None:
    save_model(network(), tmp_path / "model.keras", CLASSES)
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert set(json.loads(archive.read("metadata.json"))) == {"keras_version", "classes"}


def test_class_names_are_saved_with_the_network(tmp_path: Path) -> None:
    names = ("crôix", "0", "a class, with: punctuation")
    save_model(network(), tmp_path / "model.keras", names)
    assert read_classes(tmp_path / "model.keras") == names


def test_a_file_saved_by_keras_has_no_class_names(tmp_path: Path) -> None:
    network().save(tmp_path / "model.keras")
    assert read_classes(tmp_path / "model.keras") == ()


@pytest.mark.slow
def test_a_loaded_network_predicts_like_the_saved_one(tmp_path: Path) -> None:
    model = network()
    save_model(model, tmp_path / "model.keras")
    loaded, images = load_model(tmp_path / "model.keras"), raw_images(VARIED)
    assert np.array_equal(predict_probabilities(loaded, images, 5), predict_probabilities(model, images, 5))


def test_the_digest_of_a_network_survives_saving_and_loading(tmp_path: Path) -> None:
    model = network()
    save_model(model, tmp_path / "model.keras")
    assert model_digest(load_model(tmp_path / "model.keras")) == model_digest(model)
    assert model_digest(network(seed=2)) != model_digest(model)


BARE = """
import sys
import keras, numpy
images = numpy.load(sys.argv[1])
for number, path in enumerate(sys.argv[2:]):
    model = keras.saving.load_model(path)
    foreign = [layer for layer in model.layers if not type(layer).__module__.startswith("keras.")]
    assert not foreign, foreign
    numpy.save(f"{number}.npy", model.predict(images[f"arr_{number}"], verbose=0))
assert "pipeline" not in sys.modules and "search" not in sys.modules
"""


@pytest.mark.slow
def test_keras_alone_loads_each_network_and_computes_the_same_probabilities(tmp_path: Path) -> None:
    """In an empty folder, in safe mode, in a process that cannot import this project."""
    architectures = [VARIED, *(Architecture.from_yaml(path) for path in EXAMPLES)]
    models = [network(architecture) for architecture in architectures]
    images = [raw_images(architecture) for architecture in architectures]
    paths = [tmp_path / f"model{number}.keras" for number in range(len(models))]
    for model, path in zip(models, paths, strict=True):
        save_model(model, path, CLASSES)
    np.savez(tmp_path / "images.npz", *images)
    empty = tmp_path / "empty"
    empty.mkdir()
    run_in_subprocess(BARE, empty, tmp_path / "images.npz", *paths, isolated=True)
    for number, (model, raw) in enumerate(zip(models, images, strict=True)):
        loaded = np.load(empty / f"{number}.npy")
        np.testing.assert_allclose(loaded, predict_probabilities(model, raw, 5), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(loaded.sum(axis=1), 1.0, rtol=1e-5)


def write_zip(path: Path, **members: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_json", ".json"), content)


def write_truncated(path: Path) -> None:
    save_model(network(PLAIN), path)
    path.write_bytes(path.read_bytes()[:-200])


def write_without_weights(path: Path) -> None:
    save_model(network(PLAIN), path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if not name.endswith(".h5")}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("write", "rule"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "no such file"),
        (lambda path: path.write_bytes(b""), "must be a Keras v3 file, which is a zip archive"),
        (lambda path: path.write_text("weights"), "must be a Keras v3 file, which is a zip archive"),
        (write_truncated, "must be a Keras v3 file, which is a zip archive"),
        (lambda path: write_zip(path, metadata_json="{}"), "must be a Keras v3 file, but config.json is missing"),
        (lambda path: write_zip(path, config_json="{"), "config.json cannot be read"),
        (lambda path: write_zip(path, config_json="[]"), "config.json must be a JSON object, got list"),
        (lambda path: write_zip(path, config_json="{}"), "must be a Keras v3 file, but model.weights.h5 is missing"),
        (write_without_weights, "must be a Keras v3 file, but model.weights.h5 is missing"),
    ],
    ids=["missing", "folder", "empty", "text", "truncated", "other zip", "no JSON", "list", "no network", "no weights"],
)
def test_an_invalid_keras_file_is_refused(write: Callable[[Path], object], rule: str, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    write(path)
    with pytest.raises(UserError, match=rf"model\.keras: {rule}"):
        load_model(path)


def test_hdf5_is_refused_regardless_of_its_name(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "model.keras", "w") as file:
        file.attrs["keras_version"] = "3.15.1"
    for name in ("model.keras", "model.h5"):
        (tmp_path / "model.keras").rename(tmp_path / name)
        with pytest.raises(UserError, match=rf"{name}: must be a Keras v3 file \(.keras\), got HDF5"):
            load_model(tmp_path / name)
        (tmp_path / name).rename(tmp_path / "model.keras")


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    save_model(network(PLAIN), tmp_path / "model.keras")
    (tmp_path / "model.keras").rename(tmp_path / "model.zip")
    with pytest.raises(UserError, match=r"model\.zip: must have the suffix \.keras, got '\.zip'"):
        load_model(tmp_path / "model.zip")


@pytest.mark.slow
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_a_file_with_a_damaged_byte_is_refused_or_loads_the_same_network(compression: int, tmp_path: Path) -> None:
    model, saved, path = network(PLAIN), tmp_path / "saved.keras", tmp_path / "model.keras"
    save_model(model, saved)
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w", compression) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    content, whole, refused = path.read_bytes(), model_digest(model), 0
    for place in range(0, len(content), len(content) // 50):
        damaged = bytearray(content)
        damaged[place] ^= 0x08
        path.write_bytes(bytes(damaged))
        try:
            assert model_digest(load_model(path)) == whole, place
        except UserError:
            refused += 1
    assert refused > 20


class Unsaveable(keras.layers.Layer):
    def call(self, x: object) -> object:
        return x

    def get_config(self) -> dict[str, object]:
        raise NotImplementedError("no configuration")


def test_a_failed_save_keeps_the_earlier_file_and_leaves_no_others(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    save_model(network(PLAIN), path)
    earlier = path.read_bytes()
    image = keras.Input((2,))
    unsaveable = keras.Model(image, Unsaveable()(image))
    with pytest.raises(NotImplementedError):
        save_model(unsaveable, path)
    assert path.read_bytes() == earlier
    assert list(tmp_path.iterdir()) == [path]


def test_saving_over_a_folder_fails_and_leaves_no_files(tmp_path: Path) -> None:
    (tmp_path / "model.keras").mkdir()
    with pytest.raises(IsADirectoryError):
        save_model(network(PLAIN), tmp_path / "model.keras")
    assert list(tmp_path.rglob("*")) == [tmp_path / "model.keras"]
