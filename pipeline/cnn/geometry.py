"""Shapes, parameter counts, cost and receptive fields of an architecture, computed without building a network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, prod

from pipeline.backbones.backbone import Backbone
from pipeline.backbones.measure import enlarged, measure_backbone
from pipeline.cnn.architecture import Architecture
from pipeline.cnn.layers import Kind, Layer, layers_of

# Cache size. A candidate's geometry is needed several times between sampling and training.
MAX_KEPT = 256


class Infeasible(ValueError):
    """The architecture does not fit its input. The message says where and why."""


@dataclass(frozen=True)
class LayerGeometry:
    """Shape, cost and receptive field of one layer.

    Attributes:
        layer: The layer.
        output_shape: Spatial extents and channels of the output, without the batch.
        params: Number of parameters, including the moving averages of batch normalization.
        trainable_params: Number of parameters that training changes.
        macs: Multiply-accumulates for one image; only convolutions and dense layers are counted.
        receptive_field: Number of input positions along each axis that one output position depends on.
        jump: Distance between neighbouring outputs along each axis, in input positions.
        inner_values: Number of values in the outputs of the layers within a backbone, except the last one.
    """

    layer: Layer
    output_shape: tuple[int, ...]
    params: int
    trainable_params: int
    macs: int
    receptive_field: tuple[int, ...]
    jump: tuple[int, ...]
    inner_values: int = 0

    @property
    def values(self) -> int:
        """Number of values in the output, and in the outputs of inner layers."""
        return prod(self.output_shape) + self.inner_values


@dataclass(frozen=True)
class Geometry:
    """Geometry of all layers of an architecture, and the totals.

    Attributes:
        layers: Geometry of each layer.
        params: Number of all parameters.
        trainable_params: Number of parameters that training changes.
        macs: Multiply-accumulates for one image.
        activation_bytes: Size of the float32 outputs of all layers for one image.
        receptive_field: Receptive field of the last layer before the head, along each axis.
    """

    layers: tuple[LayerGeometry, ...]
    params: int
    trainable_params: int
    macs: int
    activation_bytes: int
    receptive_field: tuple[int, ...]


@lru_cache(MAX_KEPT)
def compute_geometry(architecture: Architecture) -> Geometry:
    """Compute the geometry of an architecture.

    Receptive field and jump follow Araujo, Norris and Sim (2019), "Computing Receptive Fields of Convolutional Neural
    Networks", equations 2 and 3. Attention gates are ignored in both.

    A backbone is one layer. Its figures are read off the network that Keras builds for it, which takes seconds.

    Raises:
        Infeasible: A kernel or window is larger than its feature map, Keras has no such layer, or the input of a
            backbone is not an image.
    """
    if architecture.backbone is not None and architecture.rank != 2:
        raise Infeasible(
            f"backbone: {architecture.backbone.name} requires images (2-D grids), got a {architecture.rank}-D grid; "
            "remove model.backbone"
        )
    done: dict[str, LayerGeometry] = {}
    for layer in layers_of(architecture):
        done[layer.name] = _measure(layer, [done[name] for name in layer.inputs], architecture)
    layers = tuple(done.values())
    body = [entry for entry in layers if not entry.layer.name.startswith(("head_", "scores"))]
    return Geometry(
        layers=layers,
        params=sum(entry.params for entry in layers),
        trainable_params=sum(entry.trainable_params for entry in layers),
        macs=sum(entry.macs for entry in layers),
        activation_bytes=4 * sum(entry.values for entry in layers),
        receptive_field=body[-1].receptive_field,
    )


def _measure(layer: Layer, inputs: list[LayerGeometry], architecture: Architecture) -> LayerGeometry:
    if layer.kind == "input":
        ones = (1,) * architecture.rank
        return LayerGeometry(layer, architecture.input_shape, 0, 0, 0, ones, ones)
    unchanged = replace(inputs[0], layer=layer, params=0, trainable_params=0, macs=0, inner_values=0)
    if layer.backbone is not None:
        return _of_backbone(unchanged, layer.backbone, architecture.input_shape[:-1])
    rule = GEOMETRY.get(layer.kind)
    return unchanged if rule is None else rule(unchanged, inputs)


def _of_backbone(unchanged: LayerGeometry, backbone: Backbone, image: tuple[int, ...]) -> LayerGeometry:
    """Geometry of a backbone, or of a layer that adapts its input. Receptive fields are rounded up."""
    *grid, channels = unchanged.output_shape
    if unchanged.layer.kind == "pixels":
        return replace(unchanged, output_shape=(*grid, unchanged.layer.channels))
    if unchanged.layer.kind == "resize":
        return replace(unchanged, output_shape=(*enlarged(tuple(grid), backbone.input_size), channels))
    found = measure_backbone(backbone, tuple(grid))
    shares = [size / larger for size, larger in zip(image, grid, strict=True)]
    return replace(
        unchanged,
        output_shape=found.output_shape,
        params=found.params,
        trainable_params=found.trainable_params,
        macs=found.macs,
        receptive_field=tuple(ceil(found.receptive_field * share) for share in shares),
        jump=tuple(max(1, round(found.jump * share)) for share in shares),
        inner_values=found.values - prod(found.output_shape),
    )


def _convolution(unchanged: LayerGeometry, inputs: list[LayerGeometry]) -> LayerGeometry:
    layer, channels = unchanged.layer, unchanged.output_shape[-1]
    slid, extent = _slide(unchanged)
    return _with_weights(slid, prod(extent) * channels * layer.channels)


def _separable_convolution(unchanged: LayerGeometry, inputs: list[LayerGeometry]) -> LayerGeometry:
    layer, channels = unchanged.layer, unchanged.output_shape[-1]
    slid, extent = _slide(unchanged)
    if len(extent) == 3:
        raise Infeasible(f"{layer.name}: Keras has no separable convolution for 3-D grids; use convolution: ordinary")
    if len(set(layer.strides)) > 1:
        raise Infeasible(
            f"{layer.name}: a separable convolution needs equal strides along all axes, got {times(layer.strides)}; "
            "use equal strides or convolution: ordinary"
        )
    return _with_weights(slid, prod(extent) * channels + channels * layer.channels)


def _with_weights(slid: LayerGeometry, weights: int) -> LayerGeometry:
    """Add a convolution's weights, each used once per output position, and its bias."""
    *grid, filters = slid.output_shape
    params = weights + (filters if slid.layer.use_bias else 0)
    return replace(slid, params=params, trainable_params=params, macs=prod(grid) * weights)


def _pooling(unchanged: LayerGeometry, inputs: list[LayerGeometry]) -> LayerGeometry:
    return _slide(unchanged)[0]


def _dense(unchanged: LayerGeometry, inputs: list[LayerGeometry]) -> LayerGeometry:
    *grid, channels = unchanged.output_shape
    units = unchanged.layer.channels
    params = channels * units + units
    macs = prod(grid) * channels * units
    return replace(unchanged, output_shape=(*grid, units), params=params, trainable_params=params, macs=macs)


def _batch_normalization(unchanged: LayerGeometry, inputs: list[LayerGeometry]) -> LayerGeometry:
    channels = unchanged.output_shape[-1]
    return replace(unchanged, params=4 * channels, trainable_params=2 * channels)


def _global_pooling(unchanged: LayerGeometry, inputs: list[LayerGeometry]) -> LayerGeometry:
    *grid, channels = unchanged.output_shape
    shape = (*(1 for _ in grid), channels) if unchanged.layer.whole else (channels,)
    return replace(unchanged, output_shape=shape, receptive_field=_whole_field(unchanged))


def _flatten(unchanged: LayerGeometry, inputs: list[LayerGeometry]) -> LayerGeometry:
    *grid, _ = unchanged.output_shape
    field = _whole_field(unchanged) if grid else unchanged.receptive_field
    return replace(unchanged, output_shape=(prod(unchanged.output_shape),), receptive_field=field)


def _add(unchanged: LayerGeometry, inputs: list[LayerGeometry]) -> LayerGeometry:
    fields = zip(*(entry.receptive_field for entry in inputs), strict=True)
    return replace(unchanged, receptive_field=tuple(max(field) for field in fields))


# Maps (geometry of the first input with weights set to 0, geometries of all inputs) to the geometry of the layer.
# Kinds that are not in the table leave the shape unchanged and have no weights.
GEOMETRY: dict[Kind, Callable[[LayerGeometry, list[LayerGeometry]], LayerGeometry]] = {
    "convolution": _convolution,
    "separable_convolution": _separable_convolution,
    "max_pooling": _pooling,
    "average_pooling": _pooling,
    "global_average": _global_pooling,
    "global_max": _global_pooling,
    "dense": _dense,
    "batch_normalization": _batch_normalization,
    "flatten": _flatten,
    "add": _add,
}


def _whole_field(source: LayerGeometry) -> tuple[int, ...]:
    """Receptive field of a layer that sees the whole map of its input."""
    *grid, _ = source.output_shape
    along = zip(source.receptive_field, grid, source.jump, strict=True)
    return tuple(field + (size - 1) * jump for field, size, jump in along)


def _slide(unchanged: LayerGeometry) -> tuple[LayerGeometry, tuple[int, ...]]:
    """Geometry after a sliding window, without weights, and the extent of the window.

    As in Keras, the extent of the output is ceil(n / s) for `same` and floor((n - e) / s) + 1 for `valid`.
    """
    layer, (*grid, channels) = unchanged.layer, unchanged.output_shape
    extent = tuple(grid) if layer.whole else layer.extent
    for size, window in zip(grid, extent, strict=True):
        if window > size:
            what = "window" if layer.kind.endswith("pooling") else "kernel"
            raise Infeasible(
                f"{layer.key}: {layer.name}'s {what} of {times(extent)} is larger than its feature map of "
                f"{times(grid)}; reduce it, or reduce the strides and pooling before it"
            )
    if layer.padding == "same":
        out = tuple(-(-size // stride) for size, stride in zip(grid, layer.strides, strict=True))
    else:
        out = tuple((n - e) // s + 1 for n, e, s in zip(grid, extent, layer.strides, strict=True))
    along = zip(unchanged.receptive_field, extent, unchanged.jump, strict=True)
    slid = replace(
        unchanged,
        output_shape=(*out, layer.channels or channels),
        receptive_field=tuple(field + (size - 1) * jump for field, size, jump in along),
        jump=tuple(jump * stride for jump, stride in zip(unchanged.jump, layer.strides, strict=True)),
    )
    return slid, extent


def times(extents: Sequence[int]) -> str:
    """Format extents, such as `3×3`."""
    return "×".join(str(extent) for extent in extents)
