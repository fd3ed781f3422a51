import subprocess
import sys

import keras
import numpy as np
import pytest

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.build import build
from pipeline.cnn.clipping import clip_architecture
from pipeline.cnn.geometry import compute_geometry
from pipeline.params import AugmentationParams, Block, Head
from tests.pipeline.cnn.architectures import random_architecture


def build_plain(architecture: Architecture, **options: object) -> keras.Model:
    channels = architecture.input_shape[-1]
    return build(architecture, (7.0,) * channels, (3.0,) * channels, **options)


def compare_with_keras(seeds: range) -> None:
    """Compare the described properties of every layer with those of the built network."""
    for number, seed in enumerate(seeds):
        architecture = clip_architecture(random_architecture(seed))
        geometry = compute_geometry(architecture)
        with keras.StatelessScope(initialize_variables=False):  # weights have shapes but no values
            model = build_plain(architecture, logits=True)
            for entry in geometry.layers:
                layer = model.get_layer(entry.layer.name)
                assert tuple(layer.output.shape[1:]) == entry.output_shape, (seed, entry)
                assert layer.count_params() == entry.params, (seed, entry)
                trainable = sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights)
                assert trainable == entry.trainable_params, (seed, entry)
            assert model.count_params() == geometry.params
        if number % 50 == 49:
            keras.backend.clear_session()


@pytest.mark.slow
def test_geometry_equals_keras() -> None:
    compare_with_keras(range(300))


@pytest.mark.long
def test_geometry_equals_keras_for_thousands_of_architectures() -> None:
    compare_with_keras(range(10_000, 12_200))


@pytest.mark.slow
def test_a_network_takes_raw_values_and_returns_probabilities() -> None:
    for seed in range(12):
        architecture = clip_architecture(random_architecture(seed, rank=2))
        images = np.random.default_rng(seed).integers(0, 256, (3, *architecture.input_shape), dtype=np.uint8)
        probabilities = np.asarray(build_plain(architecture)(images))
        assert probabilities.shape == (3, architecture.classes)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)


def pooled(pooling: str, images: np.ndarray, pool_first: bool = False) -> np.ndarray:
    block = Block(filters=1, kernel_size=1, activation="relu", pooling=pooling, pool_size=2, pool_first=pool_first)
    architecture = Architecture(input_shape=images.shape[1:], classes=2, blocks=(block,), head=Head())
    model = build(architecture, (0.0,), (1.0,), logits=True)
    model.get_layer("block1_conv1").set_weights([np.ones((1, 1, 1, 1)), np.zeros(1)])
    reduced = keras.Model(model.input, model.get_layer("head_reduce").input)
    return np.asarray(reduced(images))[..., 0]


@pytest.mark.parametrize(("pooling", "expected"), [("max", 4.0), ("min", 1.0), ("average", 2.5), ("sum", 10.0)])
def test_each_pooling_computes_the_reduction_it_is_named_after(pooling: str, expected: float) -> None:
    images = np.array([[1.0, 2.0], [3.0, 4.0]], dtype="float32").reshape(1, 2, 2, 1)
    assert pooled(pooling, images).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("pooling", "first", "last"),
    [("max", 4.0, 4.0), ("min", 0.0, 0.0), ("average", 0.5, 1.75), ("sum", 2.0, 7.0)],
)
def test_pooling_first_pools_before_the_activation(pooling: str, first: float, last: float) -> None:
    images = np.array([[-5.0, 0.0], [3.0, 4.0]], dtype="float32").reshape(1, 2, 2, 1)
    assert pooled(pooling, images, pool_first=True).item() == pytest.approx(first)
    assert pooled(pooling, images, pool_first=False).item() == pytest.approx(last)


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_augmentation_is_scaled_by_its_strength(strength: float) -> None:
    amounts = AugmentationParams(strength=strength, flip="none", shift=0.0, rotate=0.0, zoom=0.0, noise=0.4)
    architecture = Architecture(input_shape=(6, 6, 1), classes=2, blocks=(), head=Head())
    noise = [
        layer.stddev
        for layer in build_plain(architecture, augmentation=amounts).layers
        if isinstance(layer, keras.layers.GaussianNoise)
    ]
    assert noise == ([] if strength == 0 else [0.2])


def test_standardization_uses_the_mean_and_deviation_of_each_channel() -> None:
    architecture = Architecture(input_shape=(2, 2, 2), classes=2, blocks=(), head=Head())
    model = build(architecture, (10.0, 20.0), (2.0, 0.0), logits=True)
    inner = keras.Model(model.input, model.get_layer("standardize").output)
    values = np.asarray(inner(np.full((1, 2, 2, 2), 20.0)))
    np.testing.assert_allclose(values[0, 0, 0], [5.0, 0.0])


def test_weights_are_determined_by_the_seed() -> None:
    architecture = clip_architecture(random_architecture(1, rank=2))
    one, same, other = (build_plain(architecture, seed=seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_strided_1x1_convolution_equals_that_of_keras() -> None:
    images = np.random.default_rng(0).normal(size=(2, 9, 8, 3)).astype(np.float32)
    block = Block(filters=5, kernel_size=1, strides=(2, 3), pooling="none")
    model = build_plain(Architecture(input_shape=(9, 8, 3), classes=2, blocks=(block,), head=Head()))
    standardized = keras.Model(model.input, model.get_layer("standardize").output)(images)
    own = keras.layers.Conv2D(5, 1, (2, 3), padding="same")
    own.build(standardized.shape)
    own.set_weights(model.get_layer("block1_conv1").get_weights())
    built = keras.Model(model.input, model.get_layer("block1_conv1").output)(images)
    np.testing.assert_allclose(built, own(standardized), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_the_gradient_of_a_strided_shortcut_on_a_large_map_does_not_crash() -> None:
    """TensorFlow 2.21 with oneDNN writes out of bounds there and crashes, so this runs in a separate process."""
    code = """
from pipeline.backend.runtime import start_backend
start_backend()
import keras, numpy as np
from pipeline.cnn.architecture import Architecture
from pipeline.cnn.build import build
from pipeline.params import Block, Head
block = Block(filters=8, kernel_size=3, strides=2, residual=True, pooling="none")
model = build(Architecture(input_shape=(64, 64, 3), classes=2, blocks=(block,), head=Head()), (0.0,) * 3, (1.0,) * 3)
model.compile("sgd", "sparse_categorical_crossentropy")
images = np.random.default_rng(0).normal(size=(64, 64, 64, 3)).astype("float32")
for _ in range(10):
    model.train_on_batch(images, np.arange(64) % 2)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-500:]}"
