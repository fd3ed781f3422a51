"""Projections of activations, compared with hand-computed ones on tiny networks."""

from typing import Any

import keras
import numpy as np
import pytest
from scipy.signal import convolve2d

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.geometry import compute_geometry
from pipeline.interpretation.deconvolution import deconvolution_network, project
from pipeline.interpretation.gradients import pull_back
from pipeline.interpretation.receptive_fields import Patches
from pipeline.params import Block, Head

FIRST = np.array([[1.0, -2.0], [3.0, 0.5]], np.float32)
SECOND = np.array([[-1.0, 2.0], [0.5, 1.0]], np.float32)
IMAGE = np.random.default_rng(0).uniform(0, 1, (6, 6)).astype(np.float32)


def network(*layers: Any, side: int = 6) -> Any:
    image = keras.Input((side, side, 1))
    x = image
    for layer in layers:
        x = layer(x)
    return keras.Model(image, x)


def convolution(kernel: np.ndarray, name: str) -> Any:
    return keras.layers.Conv2D(
        1, kernel.shape, use_bias=False, name=name,
        kernel_initializer=keras.initializers.Constant(kernel[..., None, None]),
    )  # fmt: skip


def correlate(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return convolve2d(image, kernel[::-1, ::-1], mode="valid")


def projected(model: Any, layer: str, place: int, channel: int = 0, image: np.ndarray = IMAGE) -> np.ndarray:
    projections = project(
        deconvolution_network(model),
        layer,
        image.reshape(1, *image.shape[:2], -1),
        np.array([place]),
        np.array([channel]),
    )
    return projections[0, ..., 0]


def only(values: np.ndarray, place: int) -> np.ndarray:
    kept = np.zeros_like(values)
    kept.ravel()[place] = values.ravel()[place]
    return kept


@pytest.mark.parametrize("place", [0, 7, 24])
def test_one_convolution_projects_its_filter_times_the_activation(place: int) -> None:
    model = network(convolution(FIRST, "one"))
    activation = correlate(IMAGE, FIRST).ravel()[place]
    expected = np.zeros((6, 6))
    row, column = divmod(place, 5)
    expected[row : row + 2, column : column + 2] = activation * FIRST
    assert projected(model, "one", place) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
def test_a_projection_through_any_activation_is_rectified(activation: str) -> None:
    model = network(convolution(FIRST, "one"), keras.layers.Activation(activation), convolution(SECOND, "two"))
    inner = np.asarray(keras.ops.convert_to_numpy(keras.activations.get(activation)(correlate(IMAGE, FIRST))))
    chosen = only(correlate(inner, SECOND), 5)
    back = np.maximum(convolve2d(chosen, SECOND), 0.0)  # a transposed convolution, then the rectification
    assert projected(model, "two", 5) == pytest.approx(convolve2d(back, FIRST), abs=1e-5)


def test_pooling_is_reversed_at_the_position_of_the_maximum() -> None:
    model = network(keras.layers.MaxPooling2D(3, name="pool"), convolution(np.array([[2.0]], np.float32), "scale"))
    projection = projected(model, "scale", 3)
    window = IMAGE[3:, 3:]
    row, column = np.unravel_index(window.argmax(), window.shape)
    assert np.flatnonzero(projection).tolist() == [(3 + row) * 6 + 3 + column]
    assert projection.max() == pytest.approx(2.0 * 2.0 * window.max())


def test_a_residual_connection_adds_the_projections_of_both_paths() -> None:
    image = keras.Input((6, 6, 1))
    kernel = np.array([[0.5]], np.float32)
    x = keras.layers.Add()([image, convolution(kernel, "branch")(image)])
    model = keras.Model(image, convolution(FIRST, "last")(x))
    plain = network(convolution(FIRST, "one"))
    assert projected(model, "last", 7) == pytest.approx(1.5**2 * projected(plain, "one", 7), rel=1e-5)


def test_a_projection_treats_an_attention_gate_as_a_constant() -> None:
    image = keras.Input((6, 6, 1))
    maps = convolution(np.array([[1.0]], np.float32), "one")(image)
    gate = keras.layers.Dense(1, kernel_initializer="ones", activation="sigmoid")(
        keras.layers.GlobalAveragePooling2D()(maps)
    )
    gated = keras.layers.Multiply()([maps, keras.layers.Reshape((1, 1, 1))(gate)])
    model = keras.Model(image, convolution(np.array([[1.0]], np.float32), "two")(gated))
    factor = 1 / (1 + np.exp(-IMAGE.mean()))
    expected = np.zeros((6, 6))
    expected[2, 2] = factor**2 * IMAGE[2, 2]
    assert projected(model, "two", 14) == pytest.approx(expected, abs=1e-5)


def test_a_projection_has_the_channels_of_the_image() -> None:
    image = np.random.default_rng(1).uniform(0, 1, (5, 5, 3)).astype(np.float32)
    inputs = keras.Input((5, 5, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(4, 3, use_bias=False, name="one")(inputs))
    kernel = model.get_layer("one").get_weights()[0]
    projection = project(deconvolution_network(model), "one", image[None], np.array([4]), np.array([2]))[0]
    activation = (image[1:4, 1:4] * kernel[..., 2]).sum()
    expected = np.zeros((5, 5, 3))
    expected[1:4, 1:4] = activation * kernel[..., 2]
    assert projection == pytest.approx(expected, abs=1e-5)


def test_the_patch_of_a_valid_convolution_is_its_receptive_field() -> None:
    block = Block(filters=2, kernel_size=3, padding="valid", pooling="max", pool_size=2, convs=1)
    architecture = Architecture(input_shape=(10, 10, 1), classes=2, blocks=(block, block), head=Head())
    patches = Patches(compute_geometry(architecture))
    assert patches.of("block1_conv1", 9) == (slice(1, 4), slice(1, 4))  # row 1, column 1 of 8×8
    assert patches.of("block1_pool", 4 * 1 + 2) == (slice(2, 6), slice(4, 8))
    assert patches.of("block2_conv1", 3) == (slice(2, 10), slice(2, 10))


def reached(model: Any, layer: str, place: int, image: np.ndarray) -> tuple[slice, ...]:
    """The smallest box of pixels that a position of a layer's map depends on, from the gradient."""
    upto = keras.Model(model.input, model.get_layer(layer).output)

    def chosen(activations: np.ndarray) -> np.ndarray:
        only = np.zeros_like(activations).reshape(1, -1, activations.shape[-1])
        only[:, place] = 1.0
        return only.reshape(activations.shape)

    seen = pull_back(lambda x: upto(x, training=False), image, chosen)[0, ..., 0] != 0
    rows, columns = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


@pytest.mark.parametrize("seed", range(8))
def test_a_patch_is_the_region_that_influences_an_activation(seed: int) -> None:
    from pipeline.cnn.build import build

    draw = np.random.default_rng(seed)
    kernel, (stride, convs, pool_stride) = int(draw.integers(2, 5)), draw.integers(1, 3, 3).tolist()
    block = Block(
        filters=2, kernel_size=kernel, strides=stride, convs=convs, padding="same" if seed % 2 else "valid",
        pooling="average", pool_size=2, pool_strides=pool_stride, activation="silu",
    )  # fmt: skip
    side = int(draw.integers(50, 56))
    architecture = Architecture(
        input_shape=(side, side, 1),
        classes=2,
        blocks=(block, block.model_copy(update={"pooling": "none"})),
        head=Head(),
    )
    model, patches = build(architecture, (0.0,), (1.0,), seed=seed), Patches(compute_geometry(architecture))
    image = draw.normal(size=(1, side, side, 1)).astype(np.float32)
    for name in ("block1_conv1", "block1_pool", "block2_conv1"):
        places = int(np.prod(model.get_layer(name).output.shape[1:-1]))
        for place in (0, places // 2, places - 1):
            assert patches.of(name, place) == reached(model, name, place, image)
