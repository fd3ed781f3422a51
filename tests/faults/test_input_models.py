"""Model files made to run code, to read other files or to exhaust memory, and networks that learned nothing."""

import copy
import io
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from pipeline.backbones.backbone import Backbone
from pipeline.backbones.weights_file import read_weights
from pipeline.cnn.keras_file import load_model, save_model
from pipeline.errors import UserError
from pipeline.inference.classifier import read_classifier
from pipeline.params.model import BackboneParams
from pipeline.terminal.causes import cause_outside

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"


def network() -> keras.Model:
    image = keras.Input((4, 4, 1))
    x = keras.layers.Conv2D(2, 3, name="conv")(image)
    return keras.Model(image, keras.layers.Dense(2, activation="softmax", name="scores")(keras.layers.Flatten()(x)))


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The parts of the file of a small network."""
    path = tmp_path_factory.mktemp("models") / "model.keras"
    save_model(network(), path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, parts: dict[str, bytes], *further: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in [*parts.items(), *further]:
            archive.writestr(name, content, zipfile.ZIP_DEFLATED)
    return path


def changed(parts: dict[str, bytes], change: Callable[[list[dict[str, Any]]], object]) -> dict[str, bytes]:
    """The parts with a change of the configurations of the layers."""
    config = json.loads(parts[CONFIG])
    change(config["config"]["layers"])
    return parts | {CONFIG: json.dumps(config).encode()}


def weights(parts: dict[str, bytes], change: Callable[[h5py.File], object]) -> dict[str, bytes]:
    """The parts with a change of the weights."""
    content = io.BytesIO(parts[WEIGHTS])
    with h5py.File(content, "r+") as file:
        change(file)
    return parts | {WEIGHTS: content.getvalue()}


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as refused:
        load_model(path)
    assert len(str(refused.value).splitlines()) == 1
    return str(refused.value)


def test_the_undamaged_file_loads(parts: dict[str, bytes], tmp_path: Path) -> None:
    """A network saved by Fovea loads, also if its archive was compressed again.

    No damage: the file that the other tests damage.
    """
    assert load_model(write(tmp_path / "model.keras", parts)).count_params() == 38


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`:UserWarning")  # intended
def test_code_in_a_model_file_does_not_run(parts: dict[str, bytes], tmp_path: Path) -> None:
    """Code in a model file never runs.

    A Lambda layer that creates a file if Keras loads it without its safe mode.
    """
    marker = tmp_path / "code-ran"
    image = keras.Input((2,))
    layer = keras.layers.Lambda(eval(f"lambda x: (open({str(marker)!r}, 'w').close(), x)[1]"), output_shape=(2,))
    model = keras.Model(image, layer(image))
    marker.unlink(missing_ok=True)
    model.save(tmp_path / "model.keras")
    assert "must not contain Lambda, which runs code from the file" in refusal(tmp_path / "model.keras")
    assert not marker.exists()
    keras.saving.load_model(tmp_path / "model.keras", safe_mode=False)(np.zeros((1, 2)))
    assert marker.exists()


class Doubled(keras.layers.Layer):
    def call(self, x: object) -> object:
        return x * 2


@keras.saving.register_keras_serializable("mine")
class Tripled(keras.layers.Layer):
    def call(self, x: object) -> object:
        return x * 3


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`:UserWarning")  # intended
@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: keras.layers.Lambda(lambda x: x, output_shape=(2,)), "must not contain Lambda"),
        (Doubled, "must contain only Keras's built-in layers, got Doubled"),
        (Tripled, "must contain only Keras's built-in layers, got mine>Tripled"),
        (lambda: keras.layers.Dense(1, activation=lambda x: x), "must contain a network that Keras"),
        (lambda: keras.layers.StringLookup(vocabulary=["a"]), "must not contain StringLookup, which can read another"),
    ],
    ids=["nested Lambda", "custom layer", "registered layer", "lambda as activation", "lookup"],
)
def test_layers_other_than_those_of_keras_are_refused(
    make: Callable[[], keras.layers.Layer], rule: str, tmp_path: Path
) -> None:
    """A model file names only layers of Keras that neither run code nor read files.

    Networks with a Lambda within a network, with layers and functions of another module, and with a lookup table.
    """
    layer = make()
    image = keras.Input((2,), dtype="string" if isinstance(layer, keras.layers.StringLookup) else "float32")
    inner = keras.Sequential([image, layer])
    keras.Sequential([image, inner]).save(tmp_path / "model.keras")
    assert rule in refusal(tmp_path / "model.keras")


@pytest.mark.parametrize("module", ["os", "builtins", "keras.utils", "keras.src.saving.saving_lib"])
def test_functions_of_other_modules_are_refused(parts: dict[str, bytes], module: str, tmp_path: Path) -> None:
    """A model file cannot name functions of other modules.

    The activation of a layer is replaced by a function of another module.
    """
    function = {"module": module, "class_name": "function", "config": "system", "registered_name": "function"}
    damaged = changed(parts, lambda layers: layers[1]["config"].update(activation=function))
    message = refusal(write(tmp_path / "model.keras", damaged))
    assert f"must contain only Keras's built-in layers, got function of {module}" in message


def link() -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo("assets")
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize(
    ("further", "message"),
    [
        (("../../escaped.txt", b"x"), "got also '../../escaped.txt'"),
        (("/tmp/escaped.txt", b"x"), "got also '/tmp/escaped.txt'"),
        ((link(), b"/etc/passwd"), "got also 'assets'"),
        ((CONFIG, b"{}"), "must contain each part once"),
        (("assets/vocabulary.txt", b"x"), "got also 'assets/vocabulary.txt'"),
    ],
    ids=["path upwards", "absolute path", "link", "duplicate", "asset"],
)
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # intended
def test_archives_with_further_entries_are_refused(
    parts: dict[str, bytes], further: tuple[str, bytes], message: str, tmp_path: Path
) -> None:
    """A model file cannot write outside, and has no other parts than a network.

    Entries with paths out of the archive, a link, an entry that is there twice, and a file of another layer.
    """
    assert message in refusal(write(tmp_path / "model.keras", parts, further))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.keras"]


def bomb(file: h5py.File) -> None:
    file.create_dataset("zeros", (2**28,), "f4", chunks=(2**20,), compression="gzip")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda parts: parts | {METADATA: b" " * 40_000_000}, "metadata.json must have at most 33,554,432 bytes"),
        (lambda parts: parts | {CONFIG: b"[" * 100_000}, "config.json cannot be read: it is nested too deeply"),
        (lambda parts: parts | {CONFIG: b'{"a":' * 900 + b"1" + b"}" * 900}, "must contain a network that Keras"),
        (lambda parts: parts | {WEIGHTS: parts[WEIGHTS] + bytes(70_000_000)}, "must not expand to more than 20 times"),
        (lambda parts: weights(parts, bomb), "must not expand to more than 20 times its size"),
        (
            lambda parts: changed(parts, lambda layers: layers[-1]["config"].update(units=10**12)),
            "must contain all weights of its network, which has 9,000,000,000,020 values, got ",
        ),
    ],
    ids=["metadata", "nesting", "deep objects", "archive", "dataset", "units"],
)
def test_model_files_cannot_exhaust_the_memory(
    parts: dict[str, bytes], damage: Callable[[dict[str, bytes]], dict[str, bytes]], message: str, tmp_path: Path
) -> None:
    """A model file cannot make Fovea allocate more memory than a small multiple of its size.

    Compressed zeros in each part, a dataset that declares 1 GiB, deep nesting, and a layer of 10^12 units.
    """
    assert message in refusal(write(tmp_path / "model.keras", damage(parts)))


def external(file: h5py.File) -> None:
    file["outside"] = h5py.ExternalLink("/etc/hostname", "/")


def external_storage(file: h5py.File) -> None:
    file.create_dataset("outside", (8,), "u1", external=[("/etc/hostname", 0, 8)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((8,), "u1")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (8,))
    file.create_virtual_dataset("outside", layout)


@pytest.mark.parametrize("damage", [external, external_storage, virtual], ids=["link", "storage", "virtual"])
def test_weights_that_lead_to_other_files_are_refused(
    parts: dict[str, bytes], damage: Callable[[h5py.File], object], tmp_path: Path
) -> None:
    """The weights of a model file cannot be read from other files.

    An external link, external storage and a virtual dataset in the weights.
    """
    message = refusal(write(tmp_path / "model.keras", weights(parts, damage)))
    assert "must not be a link" in message or "must not be stored in other files" in message


def test_networks_with_nan_weights_are_refused(tmp_path: Path) -> None:
    """A network with weights that are NaN or infinite is refused when it is loaded, whoever loads it.

    A weight of the last layer is replaced by NaN, and by infinity.
    """
    for value in (np.nan, np.inf):
        model = network()
        *others, last = copy.deepcopy(model.get_weights())
        last[0] = value
        model.set_weights([*others, last])
        save_model(model, tmp_path / "model.keras")
        assert "must have finite weights, got NaN or infinity in scores/bias" in refusal(tmp_path / "model.keras")


def test_weights_of_a_backbone_that_lead_to_other_files_are_refused(tmp_path: Path) -> None:
    """The weights of a backbone cannot be read from other files either.

    A file of weights with an external link.
    """
    with h5py.File(tmp_path / "small.weights.h5", "w") as file:
        external(file)
    backbone = Backbone.from_params(BackboneParams(name="mobilenet", weights=str(tmp_path / "small.weights.h5")))
    with pytest.raises(UserError, match=r"must contain the weights of mobilenet: outside must not be a link"):
        read_weights(backbone)


@pytest.mark.parametrize("name", [".", "/", "/etc/hostname", "missing.keras", "x" * 5000])
def test_paths_that_are_no_models_are_refused(name: str) -> None:
    """Whatever is named as a model, the answer is one message.

    Folders, the root folder, another file, a missing one and a name that is too long.
    """
    with pytest.raises((UserError, OSError)) as refused:
        read_classifier(Path(name))
    assert cause_outside(refused.value) or isinstance(refused.value, UserError)
