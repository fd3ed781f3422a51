"""The weights of a network: their names, shapes and initial values, without Keras."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.backbones.measure import measure_backbone
from pipeline.cnn.architecture import Architecture
from pipeline.cnn.geometry import LayerGeometry, compute_geometry
from pipeline.cnn.layers import Kind

Start = Literal["glorot_uniform", "zeros", "ones"]


@dataclass(frozen=True)
class Weight:
    """One weight of a layer.

    Attributes:
        layer: Name of the layer.
        name: Name of the weight, as in Keras.
        shape: Shape of the weight, as in Keras.
        start: How it is initialized.
        trainable: Whether the optimizer changes it. The others are moving averages, or are frozen.
    """

    layer: str
    name: str
    shape: tuple[int, ...]
    start: Start
    trainable: bool = True

    @property
    def size(self) -> int:
        """Number of values."""
        return prod(self.shape)

    @property
    def decays(self) -> bool:
        """Whether weight decay applies: not to biases, nor to the scales and shifts of normalizations."""
        return self.start == "glorot_uniform"


def weights_of(architecture: Architecture) -> tuple[Weight, ...]:
    """List the weights of an architecture: layers from input to output, the weights of a layer in Keras's order.

    Raises:
        Infeasible: The architecture does not fit its input.
    """
    layers = compute_geometry(architecture).layers
    shapes = {entry.layer.name: entry.output_shape for entry in layers}
    return tuple(
        weight
        for entry in layers
        if entry.layer.kind in _WEIGHTS
        for weight in _WEIGHTS[entry.layer.kind](entry, shapes[entry.layer.inputs[0]])
    )


def initial_weights(
    weights: Sequence[Weight], seed: int, first_filters: NDArray[np.float32] | None = None
) -> list[NDArray[np.float32]]:
    """Draw the initial value of each weight. The values do not depend on the backend.

    Kernels are uniform within ±√(6 / (fan in + fan out)). Source: Glorot and Bengio (2010), "Understanding the
    Difficulty of Training Deep Feedforward Neural Networks", equation 16.

    Args:
        weights: The weights of a network.
        seed: Seed of the random values.
        first_filters: (filters, *extent, channels) filters of the first weight, the most important one first; None:
            random ones. If the weight has more filters, the negatives of these follow, and then random ones.
    """
    draw = np.random.default_rng(np.random.SeedSequence(seed))
    values = []
    for weight in weights:
        if weight.start == "glorot_uniform":
            *window, fan_in, fan_out = weight.shape
            limit = np.sqrt(6.0 / (prod(window) * (fan_in + fan_out)))
            values.append(draw.uniform(-limit, limit, weight.shape).astype(np.float32))
        else:
            values.append(np.full(weight.shape, weight.start == "ones", np.float32))
    if first_filters is not None:
        signed = np.concatenate([first_filters, -first_filters])[: values[0].shape[-1]]
        values[0][..., : len(signed)] = np.moveaxis(signed, 0, -1)
    return values


def frozen_layers(weights: Sequence[Weight]) -> list[str]:
    """Names of the layers that training does not change, in order."""
    trained = {weight.layer for weight in weights if weight.trainable}
    return list(dict.fromkeys(weight.layer for weight in weights if weight.layer not in trained))


def set_weights(network: Any, weights: Sequence[Weight], values: Sequence[NDArray[np.float32]]) -> None:
    """Set the weights of a Keras network that has the same layers, in whatever order."""
    of_layer: dict[str, list[NDArray[np.float32]]] = {}
    for weight, value in zip(weights, values, strict=True):
        of_layer.setdefault(weight.layer, []).append(value)
    for name, arrays in of_layer.items():
        network.get_layer(name).set_weights(arrays)


def layer_weights(network: Any, weights: Sequence[Weight]) -> list[NDArray[np.float32]]:
    """Copy the weights of a Keras network in the order of `weights`."""
    layers = dict.fromkeys(weight.layer for weight in weights)
    return [np.array(value) for name in layers for value in network.get_layer(name).get_weights()]


def _convolution(entry: LayerGeometry, source: tuple[int, ...]) -> Iterator[Weight]:
    layer = entry.layer
    *grid, channels = source
    extent = tuple(grid) if layer.whole else layer.extent
    yield Weight(layer.name, "kernel", (*extent, channels, layer.channels), "glorot_uniform")
    if layer.use_bias:
        yield Weight(layer.name, "bias", (layer.channels,), "zeros")


def _separable_convolution(entry: LayerGeometry, source: tuple[int, ...]) -> Iterator[Weight]:
    layer, channels = entry.layer, source[-1]
    ones = (1,) * len(layer.extent)
    yield Weight(layer.name, "depthwise_kernel", (*layer.extent, channels, 1), "glorot_uniform")
    yield Weight(layer.name, "pointwise_kernel", (*ones, channels, layer.channels), "glorot_uniform")
    if layer.use_bias:
        yield Weight(layer.name, "bias", (layer.channels,), "zeros")


def _dense(entry: LayerGeometry, source: tuple[int, ...]) -> Iterator[Weight]:
    layer = entry.layer
    yield Weight(layer.name, "kernel", (source[-1], layer.channels), "glorot_uniform")
    yield Weight(layer.name, "bias", (layer.channels,), "zeros")


def _batch_normalization(entry: LayerGeometry, source: tuple[int, ...]) -> Iterator[Weight]:
    name, shape = entry.layer.name, source[-1:]
    yield Weight(name, "gamma", shape, "ones")
    yield Weight(name, "beta", shape, "zeros")
    yield Weight(name, "moving_mean", shape, "zeros", trainable=False)
    yield Weight(name, "moving_variance", shape, "ones", trainable=False)


def _backbone(entry: LayerGeometry, source: tuple[int, ...]) -> Iterator[Weight]:
    if entry.layer.backbone is None:
        return
    for weight in measure_backbone(entry.layer.backbone, source[:-1]).weights:
        yield Weight(weight.layer, weight.name, weight.shape, _STARTS[weight.name], weight.trainable)


# Maps (geometry of the layer, output shape of its first input) to its weights. Kinds not in the table have none.
_WEIGHTS: dict[Kind, Callable[[LayerGeometry, tuple[int, ...]], Iterator[Weight]]] = {
    "convolution": _convolution,
    "separable_convolution": _separable_convolution,
    "dense": _dense,
    "batch_normalization": _batch_normalization,
    "backbone": _backbone,
}
# How the weights of a backbone are initialized, unless a file has their values.
_STARTS: dict[str, Start] = {
    "kernel": "glorot_uniform",
    "bias": "zeros",
    "gamma": "ones",
    "beta": "zeros",
    "moving_mean": "zeros",
    "moving_variance": "ones",
}
