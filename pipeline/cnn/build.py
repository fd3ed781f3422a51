"""Build a Keras model from an architecture, using built-in layers only."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras

from pipeline.backbones.measure import enlarged
from pipeline.backbones.pixels import pixel_scale
from pipeline.cnn.architecture import Architecture
from pipeline.cnn.geometry import compute_geometry
from pipeline.cnn.layers import AVERAGE_MOMENTUM, Kind, Layer
from pipeline.data.dataset import Kind as SampleKind
from pipeline.data.value_range import BYTES, ValueRange
from pipeline.params.training import AugmentationParams


def build(
    architecture: Architecture,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    *,
    augmentation: AugmentationParams | None = None,
    seed: int = 0,
    logits: bool = False,
    kind: SampleKind = "image",
    value_range: ValueRange | None = BYTES,
) -> keras.Model:
    """Build a network with newly initialized weights.

    Args:
        architecture: The architecture to build.
        mean: Mean of the raw training values, one number per channel.
        std: Standard deviation of the raw training values, one number per channel; 0 counts as 1.
        augmentation: Random transformations to add after the standardization, for a training network; None: no
            transformations.
        seed: Seed of the initial weights, dropout and augmentation.
        logits: Return class scores instead of probabilities, for a training network.
        kind: Kind of the samples, which determines the axes that are augmented.
        value_range: Raw values of black and white, which a backbone requires; None: unknown.

    Returns:
        A functional model from (batch, *grid, channels) float32 raw values, such as pixels from 0 to 255, to (batch,
        classes) float32. The weights of all variants of one architecture have the same order.

    Raises:
        Infeasible: The architecture does not fit its input.
        UserError: The architecture has a backbone, and `value_range` is None.
    """
    seeds = iter(range(seed, seed + 1_000_000))
    tensors: dict[str, Any] = {}
    for entry in compute_geometry(architecture).layers:
        if entry.layer.kind == "input":
            tensors[entry.layer.name] = keras.Input(architecture.input_shape, name="input", dtype="float32")
            continue
        inputs = [tensors[name] for name in entry.layer.inputs]
        if entry.layer.kind == "standardize":
            variance = [deviation**2 if deviation > 0 else 1.0 for deviation in std]
            standardize = keras.layers.Normalization(mean=list(mean), variance=variance, name="standardize")
            x = standardize(inputs[0])
            if augmentation is not None:
                from pipeline.cnn.augment import augmentation_layers

                for layer in augmentation_layers(augmentation.scaled(), seed, architecture.input_shape, kind):
                    x = layer(x)
            tensors[entry.layer.name] = x
            continue
        if entry.layer.backbone is not None and entry.layer.kind in ("pixels", "backbone"):
            from pipeline.backbones.network import append_backbone, append_pixels

            if entry.layer.kind == "pixels":
                scale = pixel_scale(entry.layer.backbone, mean, std, value_range)
                tensors[entry.layer.name] = append_pixels(inputs[0], *scale, entry.layer.name)
            else:
                tensors[entry.layer.name] = append_backbone(inputs[0], entry.layer.backbone, seeds)
            continue
        source = tensors[entry.layer.inputs[0]]
        layer = KERAS_LAYERS[entry.layer.kind](_Request(entry.layer, tuple(source.shape[1:]), next(seeds)))
        tensors[entry.layer.name] = layer(inputs if len(inputs) > 1 else inputs[0])
    output = tensors["scores"]
    if not logits:
        output = keras.layers.Activation("softmax", dtype="float32", name="probabilities")(output)
    return keras.Model(tensors["input"], output, name="network")


@dataclass(frozen=True)
class _Request:
    """A layer to create.

    Attributes:
        layer: The layer of the architecture.
        source_shape: Spatial extents and channels of its first input.
        seed: Seed of the initial weights or of dropout.
    """

    layer: Layer
    source_shape: tuple[int, ...]
    seed: int

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.source_shape) - 1

    @property
    def extent(self) -> tuple[int, ...]:
        """Extent of the kernel or window."""
        return self.source_shape[:-1] if self.layer.whole else self.layer.extent


def _convolution(asked: _Request) -> keras.Layer:
    layer = asked.layer
    return getattr(keras.layers, f"Conv{asked.rank}D")(
        layer.channels,
        asked.extent,
        layer.strides,
        padding=layer.padding,
        use_bias=layer.use_bias,
        kernel_initializer=keras.initializers.GlorotUniform(seed=asked.seed),
        name=layer.name,
    )


def _separable_convolution(asked: _Request) -> keras.Layer:
    layer = asked.layer
    return getattr(keras.layers, f"SeparableConv{asked.rank}D")(
        layer.channels,
        asked.extent,
        layer.strides[0] if asked.rank == 1 else layer.strides,
        padding=layer.padding,
        use_bias=layer.use_bias,
        depthwise_initializer=keras.initializers.GlorotUniform(seed=asked.seed),
        pointwise_initializer=keras.initializers.GlorotUniform(seed=asked.seed + 500_000),
        name=layer.name,
    )


def _pooling(kind: str) -> Callable[[_Request], keras.Layer]:
    def make(asked: _Request) -> keras.Layer:
        layer = asked.layer
        return getattr(keras.layers, f"{kind}Pooling{asked.rank}D")(layer.extent, layer.strides, name=layer.name)

    return make


def _global_pooling(kind: str) -> Callable[[_Request], keras.Layer]:
    def make(asked: _Request) -> keras.Layer:
        layer = asked.layer
        return getattr(keras.layers, f"Global{kind}Pooling{asked.rank}D")(keepdims=layer.whole, name=layer.name)

    return make


def _dense(asked: _Request) -> keras.Layer:
    layer, start = asked.layer, keras.initializers.GlorotUniform(seed=asked.seed)
    activation = layer.value or None
    return keras.layers.Dense(layer.channels, activation=activation, kernel_initializer=start, name=layer.name)


def _resize(asked: _Request) -> Callable[[Any], Any]:
    *grid, _ = asked.source_shape
    size = 0 if asked.layer.backbone is None else asked.layer.backbone.input_size
    height, width = enlarged(tuple(grid), size)
    resize = keras.layers.Resizing(height, width, interpolation="bilinear", dtype="float32", name=asked.layer.name)
    # Its default, `training=True`, would also hold for all later layers when the saved network is called without it.
    return partial(resize, training=False)


def _batch_normalization(asked: _Request) -> keras.Layer:
    return keras.layers.BatchNormalization(momentum=AVERAGE_MOMENTUM, name=asked.layer.name)


# The Keras layer of each kind of layer, or a call of it, except of those that are several layers, and of the input.
KERAS_LAYERS: dict[Kind, Callable[[_Request], Callable[[Any], Any]]] = {
    "resize": _resize,
    "convolution": _convolution,
    "separable_convolution": _separable_convolution,
    "max_pooling": _pooling("Max"),
    "average_pooling": _pooling("Average"),
    "global_average": _global_pooling("Average"),
    "global_max": _global_pooling("Max"),
    "dense": _dense,
    "batch_normalization": _batch_normalization,
    "activation": lambda asked: keras.layers.Activation(asked.layer.value, name=asked.layer.name),
    "scale": lambda asked: keras.layers.Rescaling(asked.layer.value, name=asked.layer.name),
    "dropout": lambda asked: keras.layers.Dropout(asked.layer.value, seed=asked.seed, name=asked.layer.name),
    "add": lambda asked: keras.layers.Add(name=asked.layer.name),
    "multiply": lambda asked: keras.layers.Multiply(name=asked.layer.name),
    "flatten": lambda asked: keras.layers.Flatten(name=asked.layer.name),
}
