"""Layers of an architecture. `geometry` computes their shapes and cost, `build` creates them in Keras."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

from pipeline.backbones.backbone import Backbone
from pipeline.cnn.architecture import Architecture, per_axis
from pipeline.params.model import Block

Kind = Literal[
    "input",
    "standardize",
    "pixels",
    "resize",
    "backbone",
    "convolution",
    "separable_convolution",
    "batch_normalization",
    "activation",
    "scale",
    "max_pooling",
    "average_pooling",
    "global_average",
    "global_max",
    "multiply",
    "add",
    "flatten",
    "dropout",
    "dense",
]


@dataclass(frozen=True)
class Pooling:
    """How a pooling is built from a Keras layer.

    Attributes:
        kind: The kind of layer.
        negated: Whether the input and the output are negated.
        summed: Whether the output is multiplied by the number of positions in the window.
    """

    kind: Kind
    negated: bool = False
    summed: bool = False


# The values of `pooling` in params.yaml, except `none`.
POOLINGS: dict[str, Pooling] = {
    "max": Pooling("max_pooling"),
    "min": Pooling("max_pooling", negated=True),  # min(x) = -max(-x)
    "average": Pooling("average_pooling"),
    "sum": Pooling("average_pooling", summed=True),
}
# Reduction factor of the channels, which are not reduced below 4. Source of the factor: Hu, Shen and Sun (2018),
# "Squeeze-and-Excitation Networks", section 6.1.
SQUEEZE_RATIO = 16
# Share of the moving averages of a batch normalization that a step keeps. Keras's default of 0.99 is too slow for a
# training run of a few hundred steps. 0.9 corresponds to PyTorch's default.
AVERAGE_MOMENTUM = 0.9
_RGB = 3  # channels of a backbone's input


@dataclass(frozen=True)
class Layer:
    """One layer of an architecture.

    Attributes:
        name: Name of the layer.
        kind: Kind of the layer.
        inputs: Names of the earlier layers that it takes as inputs.
        channels: Number of filters or units, for layers that have them.
        extent: Kernel or window size along each spatial axis.
        strides: Strides along each spatial axis.
        padding: Padding, as in Keras.
        use_bias: Whether a convolution has a bias.
        whole: Whether the extent is that of the whole feature map.
        value: Name of the activation, of the pooling or of the backbone, dropout rate, or factor.
        key: Key that error messages name, such as `blocks.0.kernel_size`.
        backbone: The backbone, for its layer and for the layers that adapt its input.
    """

    name: str
    kind: Kind
    inputs: tuple[str, ...]
    channels: int = 0
    extent: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    padding: Literal["same", "valid"] = "valid"
    use_bias: bool = True
    whole: bool = False
    value: str | float = ""
    key: str = ""
    backbone: Backbone | None = None


def layers_of(architecture: Architecture) -> tuple[Layer, ...]:
    """List the layers of an architecture, from the raw input to the class scores before softmax."""
    return tuple(_layers(architecture))


def _layers(architecture: Architecture) -> Iterator[Layer]:
    yield Layer("input", "input", ())
    yield Layer("standardize", "standardize", ("input",))
    at, channels = "standardize", architecture.input_shape[-1]
    for number, block in enumerate(architecture.blocks, start=1):
        for layer in _block(block, f"block{number}", f"blocks.{number - 1}", at, channels, architecture.rank):
            yield layer
            at = layer.name
        channels = block.filters
    if architecture.backbone is not None:
        yield from _backbone(architecture, architecture.backbone)
        at = "backbone"
    yield from _head(architecture, at)


def _backbone(architecture: Architecture, backbone: Backbone) -> Iterator[Layer]:
    """Yield the input of a backbone, which has three channels and a smallest extent, and the backbone.

    Grey and colour images are converted to the values that the backbone was trained with. For other channels there are
    no such values: a convolution learns three from them.
    """
    *grid, channels = architecture.input_shape
    name = "backbone_pixels"
    if channels in (1, _RGB):
        yield Layer(name, "pixels", ("standardize",), channels=_RGB, backbone=backbone)
    else:
        name, ones = "backbone_channels", (1,) * len(grid)
        yield Layer(name, "convolution", ("standardize",), channels=_RGB, extent=ones, strides=ones)
    if min(grid) < backbone.input_size:
        yield Layer("backbone_resize", "resize", (name,), backbone=backbone)
        name = "backbone_resize"
    yield Layer("backbone", "backbone", (name,), value=backbone.name, key="backbone", backbone=backbone)


def _block(block: Block, name: str, key: str, at: str, channels: int, rank: int) -> Iterator[Layer]:
    start, ones = at, (1,) * rank
    strides = per_axis(block.strides, rank)
    use_bias = block.normalization == "none"
    for number in range(1, block.convs + 1):
        layer = Layer(
            f"{name}_conv{number}",
            "convolution" if block.convolution == "ordinary" else "separable_convolution",
            (at,),
            channels=block.filters,
            extent=per_axis(block.kernel_size, rank),
            strides=strides if number == 1 else ones,
            padding=block.padding,
            use_bias=use_bias,
            key=f"{key}.kernel_size",
        )
        yield from _subsampled(layer)
        at = layer.name
        if block.pool_first and number == block.convs:
            at = yield from _pooling(block, name, key, at, rank)
        if block.normalization == "batch":
            yield Layer(f"{name}_norm{number}", "batch_normalization", (at,))
            at = f"{name}_norm{number}"
        if number == block.convs:
            if block.attention == "squeeze_excite":
                yield from _squeeze_excite(name, at, block.filters)
                at = f"{name}_attend"
            if block.residual:
                shortcut = start
                if channels != block.filters or strides != ones:
                    shortcut = f"{name}_shortcut"
                    yield from _subsampled(
                        Layer(
                            shortcut,
                            "convolution",
                            (start,),
                            channels=block.filters,
                            extent=ones,
                            strides=strides,
                            padding="same",
                            use_bias=use_bias,
                            key=f"{key}.strides",
                        )
                    )
                    if block.normalization == "batch":
                        yield Layer(f"{name}_shortcut_norm", "batch_normalization", (shortcut,))
                        shortcut = f"{name}_shortcut_norm"
                yield Layer(f"{name}_add", "add", (at, shortcut))
                at = f"{name}_add"
        yield Layer(f"{name}_act{number}", "activation", (at,), value=block.activation)
        at = f"{name}_act{number}"
    if not block.pool_first:
        at = yield from _pooling(block, name, key, at, rank)
    if block.dropout > 0:
        yield Layer(f"{name}_drop", "dropout", (at,), value=block.dropout)


def _subsampled(layer: Layer) -> Iterator[Layer]:
    """Yield a convolution. Strides of a convolution of extent 1 move to a pooling of window 1 before it.

    Both compute the same values. In TensorFlow 2.21 with oneDNN, the gradient of a strided convolution of extent 1
    writes out of bounds on maps of 48×48 and more, and crashes the process.
    """
    ones = (1,) * len(layer.extent)
    if layer.kind == "convolution" and layer.extent == ones and layer.strides != ones:
        name = f"{layer.name}_subsample"
        yield Layer(name, "max_pooling", layer.inputs, extent=ones, strides=layer.strides, key=layer.key)
        layer = replace(layer, inputs=(name,), strides=ones)
    yield layer


def _squeeze_excite(name: str, at: str, filters: int) -> Iterator[Layer]:
    yield Layer(f"{name}_squeeze", "global_average", (at,), whole=True)
    yield Layer(
        f"{name}_reduce", "dense", (f"{name}_squeeze",), channels=max(4, filters // SQUEEZE_RATIO), value="relu"
    )
    yield Layer(f"{name}_excite", "dense", (f"{name}_reduce",), channels=filters, value="sigmoid")
    yield Layer(f"{name}_attend", "multiply", (at, f"{name}_excite"))


def _pooling(block: Block, name: str, key: str, at: str, rank: int) -> Generator[Layer, None, str]:
    """Yield the layers of a block's pooling, if any, and return the name of the last one, or `at`."""
    if block.pooling == "none":
        return at
    window = per_axis(block.pool_size, rank)
    strides = window if block.pool_strides is None else per_axis(block.pool_strides, rank)
    pooling = POOLINGS[block.pooling]
    if pooling.negated:
        yield Layer(f"{name}_negate", "scale", (at,), value=-1.0)
        at = f"{name}_negate"
    yield Layer(
        f"{name}_pool",
        pooling.kind,
        (at,),
        extent=window,
        strides=strides,
        value=block.pooling,
        key=f"{key}.pool_size",
    )
    at = f"{name}_pool"
    if pooling.negated:
        yield Layer(f"{name}_restore", "scale", (at,), value=-1.0)
        at = f"{name}_restore"
    if pooling.summed:
        yield Layer(f"{name}_total", "scale", (at,), value=float(prod(window)))
        at = f"{name}_total"
    return at


def _head(architecture: Architecture, at: str) -> Iterator[Layer]:
    head, ones = architecture.head, (1,) * architecture.rank
    convolutional = head.kind == "convolution"
    if not convolutional:
        kind: Kind = head.kind if head.kind != "convolution" else "flatten"
        yield Layer("head_reduce", kind, (at,))
        at = "head_reduce"
    for number, units in enumerate((*head.dense, architecture.classes), start=1):
        last = number > len(head.dense)
        if head.dropout > 0:
            yield Layer(f"head_drop{number}", "dropout", (at,), value=head.dropout)
            at = f"head_drop{number}"
        name = "scores_map" if last and convolutional else "scores" if last else f"head_dense{number}"
        if convolutional:
            yield Layer(name, "convolution", (at,), channels=units, extent=ones, strides=ones, whole=number == 1)
        else:
            yield Layer(name, "dense", (at,), channels=units)
        at = name
        if not last:
            yield Layer(f"head_act{number}", "activation", (at,), value=head.activation)
            at = f"head_act{number}"
    if convolutional:
        yield Layer("scores", "flatten", (at,))
