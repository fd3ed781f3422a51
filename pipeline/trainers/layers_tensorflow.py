"""The layers of a network as plain TensorFlow operations, for training.

They compute the same as the Keras layers of `pipeline.cnn.build`, but are faster to build and to train: each batch
normalization is one operation, and activations are applied after max pooling where the result is the same.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from pipeline.cnn.geometry import LayerGeometry
from pipeline.cnn.layers import Kind
from pipeline.trainers.activations_tensorflow import activate
from pipeline.trainers.random_tensorflow import Random

_BYTES = 256
# As in Keras's BatchNormalization.
EPSILON = 1e-3
# Activations that do not decrease. Applied after max pooling, they give the same values and the same gradients.
_MONOTONE = {"relu", "leaky_relu", "elu", "tanh"}


@dataclass
class Pass:
    """A forward pass.

    Attributes:
        weights: Value of each weight, by layer and name; float32.
        dtype: TensorFlow dtype of all layers except the class scores.
        random: Random numbers of a training pass. None: inference, which needs none.
        statistics: Mean and variance of the batch in each batch normalization in training, by layer and the name of
            the moving average.
    """

    weights: Mapping[tuple[str, str], Any]
    dtype: Any
    random: Random | None = None
    statistics: dict[tuple[str, str], Any] = field(default_factory=dict)

    def weight(self, layer: str, name: str) -> Any:
        """The value of a weight in the dtype of the pass."""
        return tf.cast(self.weights[layer, name], self.dtype)


@dataclass(frozen=True)
class _Step:
    """A layer, the names of its input tensors, and the name of its output tensor."""

    entry: LayerGeometry
    inputs: tuple[str, ...]
    output: str


class Layers:
    """The layers after the standardization, in the order in which they are computed.

    Args:
        layers: The geometry of all layers of an architecture.
    """

    def __init__(self, layers: Sequence[LayerGeometry]) -> None:
        steps = [_Step(entry, entry.layer.inputs, entry.layer.name) for entry in layers]
        self._steps = _in_training_order([step for step in steps if step.entry.layer.kind not in _INPUTS])

    def scores(self, images: Any, forward: Pass) -> Any:
        """Compute class scores before softmax, float32 of shape (batch, classes).

        Args:
            images: Standardized images of shape (batch, *grid, channels), float32.
            forward: The pass, to which the statistics of the batch are added.
        """
        if images.shape.rank == 3:  # TensorFlow has no 1-D operations; Keras adds an axis, too
            images = tf.expand_dims(images, 1)
        tensors = {"standardize": tf.cast(images, forward.dtype)}
        for step in self._steps:
            compute = _LAYERS[step.entry.layer.kind]
            tensors[step.output] = compute(step.entry, [tensors[name] for name in step.inputs], forward)
        return tf.cast(tensors["scores"], tf.float32)


_INPUTS: set[Kind] = {"input", "standardize"}


def _in_training_order(steps: list[_Step]) -> list[_Step]:
    """Move each monotone activation after the max or min pooling that alone uses it, where it has fewer values."""
    ordered, start = list(steps), 0
    uses = Counter(name for step in steps for name in step.inputs)

    def alone(place: int) -> bool:
        """Whether a step reads the output of the step before it, and no other step does."""
        before = steps[place - 1].output
        return steps[place].inputs == (before,) and uses[before] == 1

    while start < len(ordered):
        end = start + 1
        if _is_monotone(ordered[start]):
            while end < len(ordered) and _is_part_of_max_pooling(ordered[end]) and alone(end):
                end += 1
            activation, *pooling = ordered[start:end]
            if pooling:
                inputs = [activation.inputs, *((step.output,) for step in pooling[:-1])]
                outputs = [*(step.output for step in pooling[:-1]), activation.output]
                moved = [
                    _Step(step.entry, source, output)
                    for step, source, output in zip(pooling, inputs, outputs, strict=True)
                ]
                ordered[start:end] = [*moved, _Step(activation.entry, (activation.output,), pooling[-1].output)]
        start = end
    return ordered


def _is_monotone(step: _Step) -> bool:
    return step.entry.layer.kind == "activation" and step.entry.layer.value in _MONOTONE


def _is_part_of_max_pooling(step: _Step) -> bool:
    layer = step.entry.layer  # min pooling negates its input and its output
    return layer.kind == "max_pooling" or (layer.kind == "scale" and layer.value == -1.0)


def _convolution(entry: LayerGeometry, inputs: list[Any], forward: Pass) -> Any:
    layer, (x,) = entry.layer, inputs
    kernel = forward.weight(layer.name, "kernel")
    if kernel.shape.rank == 3:
        kernel = tf.expand_dims(kernel, 0)
    strides = [1, *_at_least_2d(layer.strides), 1]
    convolve = tf.raw_ops.Conv3D if len(strides) == 5 else tf.raw_ops.Conv2D
    return _with_bias(
        convolve(input=x, filter=kernel, strides=strides, padding=layer.padding.upper()), kernel, entry, forward
    )


def _separable_convolution(entry: LayerGeometry, inputs: list[Any], forward: Pass) -> Any:
    layer, (x,) = entry.layer, inputs
    depthwise, pointwise = (forward.weight(layer.name, f"{part}_kernel") for part in ("depthwise", "pointwise"))
    if depthwise.shape.rank == 3:
        depthwise, pointwise = depthwise[None], pointwise[None]
    strides = [1, layer.strides[0], layer.strides[0], 1]  # TensorFlow requires equal strides
    x = tf.raw_ops.DepthwiseConv2dNative(input=x, filter=depthwise, strides=strides, padding=layer.padding.upper())
    x = tf.raw_ops.Conv2D(input=x, filter=pointwise, strides=[1, 1, 1, 1], padding="VALID")
    return _with_bias(x, pointwise, entry, forward)


def _with_bias(x: Any, kernel: Any, entry: LayerGeometry, forward: Pass) -> Any:
    if not entry.layer.use_bias:
        return x
    bias = forward.weight(entry.layer.name, "bias")
    # TensorFlow fuses BiasAdd with the operation before it, which oneDNN cannot compute for a convolution of extent 1
    # with one channel.
    fusible = min(kernel.shape[-2:]) > 1 or max(kernel.shape[:-2], default=1) > 1
    return tf.raw_ops.BiasAdd(value=x, bias=bias) if fusible else x + bias


def _dense(entry: LayerGeometry, inputs: list[Any], forward: Pass) -> Any:
    layer, (x,) = entry.layer, inputs
    shape = [*x.shape[:-1], layer.channels]
    flat = tf.reshape(x, [-1, x.shape[-1]]) if x.shape.rank > 2 else x
    kernel = forward.weight(layer.name, "kernel")
    flat = _with_bias(tf.raw_ops.MatMul(a=flat, b=kernel), kernel, entry, forward)
    if layer.value:
        flat = activate(str(layer.value), flat)
    return tf.reshape(flat, shape) if len(shape) > 2 else flat


def _batch_normalization(entry: LayerGeometry, inputs: list[Any], forward: Pass) -> Any:
    name, (x,) = entry.layer.name, inputs
    gamma, beta = forward.weights[name, "gamma"], forward.weights[name, "beta"]
    # The operation takes four axes; the statistics do not depend on how positions are arranged.
    maps = x if x.shape.rank == 4 else tf.reshape(x, [x.shape[0], x.shape[1], -1, x.shape[-1]])
    if forward.random is None:
        mean, variance = forward.weights[name, "moving_mean"], forward.weights[name, "moving_variance"]
        y, *_ = tf.raw_ops.FusedBatchNormV3(
            x=maps, scale=gamma, offset=beta, mean=mean, variance=variance, epsilon=EPSILON, is_training=False
        )
    else:
        nothing = tf.constant([], tf.float32)
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=maps, scale=gamma, offset=beta, mean=nothing, variance=nothing, epsilon=EPSILON, is_training=True
        )
        positions = float(maps.shape[0] * maps.shape[1] * maps.shape[2])
        # The operation divides by positions - 1, Keras by positions.
        forward.statistics[name, "moving_mean"] = mean
        forward.statistics[name, "moving_variance"] = variance * ((positions - 1.0) / positions)
    return y if y.shape.rank == x.shape.rank else tf.reshape(y, x.shape)


def _max_pooling(entry: LayerGeometry, inputs: list[Any], forward: Pass) -> Any:
    layer, (x,) = entry.layer, inputs
    window, strides = _at_least_2d(layer.extent), _at_least_2d(layer.strides)
    if set(window) == {1}:  # equal, and faster
        return _average_pooling(entry, inputs, forward)
    pool = tf.raw_ops.MaxPool3D if len(window) == 3 else tf.raw_ops.MaxPool
    return pool(input=x, ksize=[1, *window, 1], strides=[1, *strides, 1], padding="VALID")


def _average_pooling(entry: LayerGeometry, inputs: list[Any], forward: Pass) -> Any:
    layer, (x,) = entry.layer, inputs
    window, strides = _at_least_2d(layer.extent), _at_least_2d(layer.strides)
    sizes = {"ksize": [1, *window, 1], "strides": [1, *strides, 1], "padding": "VALID"}
    return tf.raw_ops.AvgPool3D(input=x, **sizes) if len(window) == 3 else tf.raw_ops.AvgPool(value=x, **sizes)


def _global_pooling(reduce: Callable[..., Any]) -> Callable[[LayerGeometry, list[Any], Pass], Any]:
    def compute(entry: LayerGeometry, inputs: list[Any], forward: Pass) -> Any:
        (x,) = inputs
        return reduce(x, axis=list(range(1, x.shape.rank - 1)), keepdims=entry.layer.whole)

    return compute


def _dropout(entry: LayerGeometry, inputs: list[Any], forward: Pass) -> Any:
    (x,) = inputs
    if forward.random is None:
        return x
    # Of 256 equally likely values this many are dropped. Drawing 32 bits for each position would take as long as a
    # convolution.
    dropped = min(max(round(float(entry.layer.value) * _BYTES), 1), _BYTES - 1)
    kept = forward.random.bytes(x.shape) >= tf.constant(dropped, tf.uint8)
    return x * (tf.cast(kept, x.dtype) * tf.constant(_BYTES / (_BYTES - dropped), x.dtype))


def _at_least_2d(extents: tuple[int, ...]) -> tuple[int, ...]:
    return (1, *extents) if len(extents) == 1 else extents


# Maps (layer, inputs, pass) to the output.
_LAYERS: dict[Kind, Callable[[LayerGeometry, list[Any], Pass], Any]] = {
    "convolution": _convolution,
    "separable_convolution": _separable_convolution,
    "dense": _dense,
    "batch_normalization": _batch_normalization,
    "activation": lambda entry, inputs, _: activate(str(entry.layer.value), inputs[0]),
    "scale": lambda entry, inputs, _: inputs[0] * tf.constant(entry.layer.value, inputs[0].dtype),
    "max_pooling": _max_pooling,
    "average_pooling": _average_pooling,
    "global_average": _global_pooling(tf.reduce_mean),
    "global_max": _global_pooling(tf.reduce_max),
    "dropout": _dropout,
    "add": lambda entry, inputs, _: inputs[0] + inputs[1],
    "multiply": lambda entry, inputs, _: inputs[0] * inputs[1],
    "flatten": lambda entry, inputs, _: tf.reshape(inputs[0], [inputs[0].shape[0], -1]),
}
