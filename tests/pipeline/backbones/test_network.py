"""The layers of a backbone in a network of ours."""

from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline.backbones.backbone import Backbone
from pipeline.backbones.families import NETWORKS
from pipeline.backbones.measure import enlarged
from pipeline.backbones.network import original
from pipeline.backbones.weights_file import read_weights
from pipeline.cnn.build import build
from pipeline.cnn.geometry import compute_geometry
from pipeline.cnn.keras_file import load_model, model_digest, save_model
from pipeline.cnn.weights import frozen_layers, weights_of
from pipeline.data.value_range import ValueRange
from pipeline.errors import UserError
from pipeline.params.model import BackboneName
from tests.pipeline.backbones.files import architecture, random_network, save_random_weights

# One network of each family and its module in keras.applications; another one of the same family differs in its depth.
MODULES: dict[BackboneName, str] = {
    "mobilenet": "mobilenet",
    "mobilenet_v2": "mobilenet_v2",
    "mobilenet_v3_small": "mobilenet_v3",
    "efficientnet_b0": "efficientnet",
    "efficientnetv2_b0": "efficientnet_v2",
    "resnet50": "resnet50",
    "resnet50v2": "resnet_v2",
}
MARKS = {"mobilenet": (), "efficientnet_b0": pytest.mark.slow}
FAMILIES = [pytest.param(name, marks=MARKS.get(name, pytest.mark.long), id=name) for name in MODULES]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_network_gives_what_keras_gives_after_its_own_preprocessing(name: BackboneName, tmp_path: Path) -> None:
    path = tmp_path / "small.weights.h5"
    alpha = 0.25 if name == "mobilenet" else 1.0
    given = save_random_weights(path, name, alpha)
    described = architecture((20, 28, 3), name=name, alpha=alpha, weights=str(path))
    assert described.backbone is not None
    network = build(described, (90.0, 100.0, 110.0), (50.0, 60.0, 70.0))
    for layer, values in read_weights(described.backbone).items():
        network.get_layer(layer).set_weights(values)
    images = np.random.default_rng(0).uniform(0, 255, (3, 20, 28, 3)).astype(np.float32)
    found = keras.Model(network.input, network.get_layer("head_reduce").input).predict(images, verbose=0)

    pixels = keras.layers.Resizing(32, 45)(images)
    own = {"include_preprocessing": True} if NETWORKS[name][1].in_network else {}
    own |= {"alpha": alpha} if name == "mobilenet" else {}
    reference = getattr(keras.applications, NETWORKS[name][0])(
        weights=None, include_top=False, input_shape=(32, 45, 3), **own
    )
    for layer in given.layers:
        if layer.weights and not isinstance(layer, keras.layers.Normalization):
            reference.get_layer(layer.name).set_weights(layer.get_weights())
    if name == "efficientnet_b0":  # its normalization lacks a factor unless its weights are those of ImageNet
        mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
        (normalization,) = [each for each in reference.layers if isinstance(each, keras.layers.Normalization)]
        normalization.set_weights([mean, std**2, np.array(0)])
        normalization.finalize_state()  # otherwise it uses the values with which it was built
    module = getattr(keras.applications, MODULES[name])
    expected = reference.predict(module.preprocess_input(np.array(pixels)), verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", FAMILIES)
def test_the_geometry_equals_that_of_keras(name: BackboneName) -> None:
    described = architecture((40, 33, 1), name=name, alpha=1.0, fine_tune="all")
    geometry, network = compute_geometry(described), build(described, (100.0,), (50.0,))
    assert geometry.params == network.count_params()
    trainable = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    assert geometry.trainable_params == trainable
    (entry,) = [entry for entry in geometry.layers if entry.layer.name == "backbone"]
    assert entry.output_shape == network.get_layer("head_reduce").input.shape[1:]
    assert entry.jump == (32, 32)


def test_macs_and_values_are_those_of_all_layers() -> None:
    """Figures of MobileNet 1.0 at 224×224 without its top; the paper states 569 million with it."""
    described = architecture((224, 224, 3), alpha=1.0, fine_tune="all")
    (entry,) = [entry for entry in compute_geometry(described).layers if entry.layer.name == "backbone"]
    assert entry.macs == 567_716_352
    assert entry.receptive_field == (315, 315)
    network = original("mobilenet", 1.0, (224, 224))
    assert entry.values == sum(int(np.prod(each.output.shape[1:])) for each in network.operations[1:])


def test_receptive_field_and_jump_are_in_positions_of_the_image_before_it_is_enlarged() -> None:
    described = architecture((16, 24, 3), alpha=1.0, fine_tune="all", input_size=32)  # enlarged to 32×48
    (entry,) = [entry for entry in compute_geometry(described).layers if entry.layer.name == "backbone"]
    assert entry.receptive_field == (158, 158)
    assert entry.jump == (16, 16)
    described = architecture((1, 96, 3), alpha=1.0, fine_tune="all", input_size=96)  # enlarged 96 times
    (entry,) = [entry for entry in compute_geometry(described).layers if entry.layer.name == "backbone"]
    assert (entry.receptive_field, entry.jump) == ((4, 4), (1, 1))


def test_names_and_bytes_do_not_depend_on_earlier_networks(tmp_path: Path) -> None:
    described = architecture((32, 32, 3), name="mobilenet_v3_small", alpha=0.75, fine_tune="all")
    networks = []
    for number in range(2):
        network = build(described, (0.0,) * 3, (1.0,) * 3)
        network.set_weights([np.full(weight.shape, 0.5) for weight in network.weights])
        save_model(network, tmp_path / f"{number}.keras")
        networks.append(network)
        random_network("mobilenet_v3_small")  # numbers more layers
    assert (tmp_path / "0.keras").read_bytes() == (tmp_path / "1.keras").read_bytes()
    assert not any(isinstance(layer, keras.Model) for layer in networks[0].layers)
    assert model_digest(load_model(tmp_path / "0.keras")) == model_digest(networks[1])


def test_other_channels_are_combined_by_a_convolution() -> None:
    described = architecture((32, 32, 5), fine_tune="all")
    network = build(described, (0.0,) * 5, (1.0,) * 5, value_range=None)
    assert network.get_layer("backbone_channels").kernel.shape == (1, 1, 5, 3)
    assert compute_geometry(described).params == network.count_params()


def test_a_known_range_of_values_is_required() -> None:
    with pytest.raises(UserError, match=r"mobilenet requires the values of black and white.*set data\.value_range"):
        build(architecture(fine_tune="all"), (0.0,), (1.0,), value_range=None)


def test_other_ranges_of_values_are_scaled() -> None:
    described = architecture((32, 32, 1), fine_tune="all")
    bytes_, floats = np.full((1, 32, 32, 1), 51.0), np.full((1, 32, 32, 1), -0.6)
    of_bytes = build(described, (100.0,), (50.0,))
    of_floats = build(described, (0.1,), (0.5,), value_range=ValueRange(black=-1.0, white=1.0))
    for network, image in ((of_bytes, bytes_), (of_floats, floats)):
        pixels = keras.Model(network.input, network.get_layer("backbone_pixels").output)(image)
        np.testing.assert_allclose(np.array(pixels), np.full((1, 32, 32, 3), 51 / 127.5 - 1), rtol=1e-5)


@pytest.mark.parametrize(
    ("grid", "size", "expected"),
    [((28, 28), 32, (32, 32)), ((20, 28), 32, (32, 45)), ((7, 3), 48, (112, 48)), ((40, 33), 32, (40, 33))],
)
def test_small_images_are_enlarged_in_proportion(grid: tuple[int, int], size: int, expected: tuple[int, int]) -> None:
    assert enlarged(grid, size) == expected


def test_fine_tuning_of_the_last_layers_trains_those_of_the_last_resolution(tmp_path: Path) -> None:
    path = tmp_path / "small.weights.h5"
    path.touch()

    def trained(fine_tune: str) -> set[str]:
        weights = weights_of(architecture(weights=str(path), fine_tune=fine_tune))
        return {weight.layer for weight in weights} - set(frozen_layers(weights))

    last = {"conv_dw_12", "conv_pw_12", "conv_dw_13", "conv_pw_13", "scores"}
    assert trained("none") == {"scores"}
    assert trained("last") == last
    assert trained("all") > last
    assert not any("bn" in layer for layer in trained("all"))
    with_statistics = weights_of(architecture(fine_tune="all"))
    assert frozen_layers(with_statistics) == []
    assert Backbone.model_fields["fine_tune"].is_required()


def test_a_saved_network_that_enlarges_images_predicts_unless_it_is_told_to_train(tmp_path: Path) -> None:
    """Keras's layer for it has the default training=True, which would hold for all later layers."""
    described = architecture((24, 32, 3), fine_tune="all")
    save_model(build(described, (90.0,) * 3, (50.0,) * 3), tmp_path / "model.keras")
    network = load_model(tmp_path / "model.keras")
    images = np.random.default_rng(0).uniform(0, 255, (3, 24, 32, 3)).astype(np.float32)
    before = model_digest(network)
    np.testing.assert_array_equal(network(images), network(images, training=False))
    assert model_digest(network) == before
    network(images, training=True)
    assert model_digest(network) != before
