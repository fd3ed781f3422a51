"""Shapes, parameter counts, cost and receptive fields of an architecture, computed without building a network."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from pipeline.cnn.architecture import Architecture, per_axis
from pipeline.cnn.layers import Layer, plan
from pipeline.params.model import Block, Extent

_UNUSED_WITHOUT_POOLING = {key: Block.model_fields[key].default for key in ("pool_size", "pool_strides", "pool_first")}


class Infeasible(ValueError):
    """The architecture does not fit its input. The message says where and why."""


@dataclass(frozen=True)
class LayerGeometry:
    """Shape, cost and receptive field of one layer.

    Attributes:
        layer: The layer.
        output_shape: Spatial extents and channels of the output, without the batch.
        params: Number of weights, including the moving averages of batch normalization.
        trainable_params: Number of weights that training changes.
        macs: Multiply-accumulates for one image; only convolutions and dense layers are counted.
        receptive_field: Number of input positions along each axis that one output position depends on.
        jump: Distance between neighbouring outputs along each axis, in input positions.
    """

    layer: Layer
    output_shape: tuple[int, ...]
    params: int
    trainable_params: int
    macs: int
    receptive_field: tuple[int, ...]
    jump: tuple[int, ...]

    @property
    def cells(self) -> tuple[str, ...]:
        """Cells of a table row: name, kind, output shape, parameters, MACs, receptive field and jump."""
        shape, sees, jump = (_times(extents) for extents in (self.output_shape, self.receptive_field, self.jump))
        kind = self.layer.kind.replace("_", " ")
        return self.layer.name, kind, shape, f"{self.params:,}", f"{self.macs:,}", sees, jump


@dataclass(frozen=True)
class Geometry:
    """Geometry of all layers of an architecture, and the totals.

    Attributes:
        layers: Geometry of each layer.
        params: Number of all weights.
        trainable_params: Number of weights that training changes.
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


def describe(architecture: Architecture) -> Geometry:
    """Compute the geometry of an architecture.

    Receptive field and jump follow Araujo, Norris and Sim (2019), "Computing Receptive Fields of Convolutional Neural
    Networks", equations 2 and 3. Attention gates are ignored in both.

    Raises:
        Infeasible: A kernel or window is larger than its feature map, or Keras has no such layer.
    """
    done: dict[str, LayerGeometry] = {}
    for layer in plan(architecture):
        done[layer.name] = _measure(layer, [done[name] for name in layer.inputs], architecture)
    layers = tuple(done.values())
    body = [entry for entry in layers if not entry.layer.name.startswith(("head_", "scores"))]
    return Geometry(
        layers=layers,
        params=sum(entry.params for entry in layers),
        trainable_params=sum(entry.trainable_params for entry in layers),
        macs=sum(entry.macs for entry in layers),
        activation_bytes=4 * sum(prod(entry.output_shape) for entry in layers),
        receptive_field=body[-1].receptive_field,
    )


def _measure(layer: Layer, inputs: list[LayerGeometry], architecture: Architecture) -> LayerGeometry:
    if layer.kind == "input":
        ones = (1,) * architecture.rank
        return LayerGeometry(layer, architecture.input_shape, 0, 0, 0, ones, ones)
    source = inputs[0]
    *grid, channels = source.output_shape
    shape, field, jump = source.output_shape, source.receptive_field, source.jump
    params = macs = fixed = 0
    match layer.kind:
        case "convolution" | "separable_convolution" | "max_pooling" | "average_pooling":
            extent = tuple(grid) if layer.whole else layer.extent
            out = _slide(layer, tuple(grid), extent)
            field = tuple(f + (e - 1) * j for f, e, j in zip(field, extent, jump, strict=True))
            jump = tuple(j * s for j, s in zip(jump, layer.strides, strict=True))
            filters = layer.channels or channels
            shape = (*out, filters)
            if layer.kind == "convolution":
                params = prod(extent) * channels * filters
            elif layer.kind == "separable_convolution":
                params = prod(extent) * channels + channels * filters
                _check_separable(layer, architecture.rank)
            macs = prod(out) * params
            if layer.channels and layer.use_bias:
                params += filters
        case "dense":
            shape = (*grid, layer.channels)
            params = channels * layer.channels + layer.channels
            macs = prod(grid) * channels * layer.channels
        case "batch_normalization":
            params, fixed = 4 * channels, 2 * channels
        case "global_average" | "global_max":
            shape = (*(1 for _ in grid), channels) if layer.whole else (channels,)
            field = tuple(f + (n - 1) * j for f, n, j in zip(field, grid, jump, strict=True))
        case "flatten":
            shape = (prod(source.output_shape),)
            field = tuple(f + (n - 1) * j for f, n, j in zip(field, grid, jump, strict=True)) if grid else field
        case "add":
            field = tuple(max(fields) for fields in zip(*(entry.receptive_field for entry in inputs), strict=True))
        case _:
            pass
    return LayerGeometry(layer, shape, params, params - fixed, macs, field, jump)


def _slide(layer: Layer, grid: tuple[int, ...], extent: tuple[int, ...]) -> tuple[int, ...]:
    """Grid after a sliding window. As in Keras, `same` is ceil(n / s), and `valid` is floor((n - e) / s) + 1."""
    for size, window in zip(grid, extent, strict=True):
        if window > size:
            what = "window" if layer.kind.endswith("pooling") else "kernel"
            raise Infeasible(
                f"{layer.key}: {layer.name}'s {what} of {_times(extent)} is larger than its map of {_times(grid)}; "
                f"make it smaller, or shrink the map less before it"
            )
    if layer.padding == "same":
        return tuple(-(-size // stride) for size, stride in zip(grid, layer.strides, strict=True))
    return tuple((n - e) // s + 1 for n, e, s in zip(grid, extent, layer.strides, strict=True))


def _check_separable(layer: Layer, rank: int) -> None:
    if rank == 3:
        raise Infeasible(f"{layer.name}: Keras has no separable convolution for 3-D grids; use convolution: ordinary")
    if len(set(layer.strides)) > 1:
        raise Infeasible(
            f"{layer.name}: a separable convolution needs equal strides along all axes, got {_times(layer.strides)}"
        )


def _times(extents: tuple[int, ...]) -> str:
    return "×".join(str(extent) for extent in extents)


def effective(architecture: Architecture) -> Architecture:
    """Clip every kernel, window and stride of an architecture to what fits its feature map.

    Clipping makes every point of the search space feasible, so the ranges of the sampler can be fixed. The layers of a
    feasible architecture compute the same as before. A separable convolution on volumes becomes an ordinary one, since
    Keras has no separable convolution for 3-D grids.

    Equal networks become equal values:

    - Strides larger than the map become the map's extent.
    - `pool_strides` equal to the window become null.
    - Pooling with window 1 and strides 1 becomes `none`.
    - A block without pooling has the default pool_size, pool_strides and pool_first.
    """
    grid = architecture.input_shape[:-1]
    blocks = []
    for block in architecture.blocks:
        clipped = _clip(block, grid)
        blocks.append(clipped)
        grid = _after(clipped, grid)
    return architecture.model_copy(update={"blocks": tuple(blocks)})


def _clip(block: Block, grid: tuple[int, ...]) -> Block:
    rank = len(grid)
    # The same bound for all axes keeps equal strides equal. A stride of the longest axis already leaves one position.
    strides = _axes(block.strides, rank, lambda _, value: min(value, max(grid)))
    update: dict[str, object] = {"strides": strides} | ({"convolution": "ordinary"} if rank == 3 else {})
    steps = per_axis(strides, rank)

    def fitting_kernel(axis: int, kernel: int) -> int:
        for size in range(min(kernel, grid[axis]), 1, -1):
            left = grid[axis]
            for conv in range(block.convs):
                if size > left:
                    break
                stride = steps[axis] if conv == 0 else 1
                left = -(-left // stride) if block.padding == "same" else (left - size) // stride + 1
            else:
                return size
        return 1

    update["kernel_size"] = _axes(block.kernel_size, rank, fitting_kernel)
    convolved = _after(block.model_copy(update=update | {"pooling": "none"}), grid)
    if block.pooling != "none":
        window = _axes(block.pool_size, rank, lambda axis, value: min(value, convolved[axis]))
        pool_strides = block.pool_strides
        if pool_strides is not None:
            pool_strides = _axes(pool_strides, rank, lambda _, value: min(value, max(convolved)))
        if {*per_axis(window, rank), *per_axis(pool_strides or window, rank)} == {1}:
            update |= {"pooling": "none"}
        else:
            as_window = pool_strides is not None and per_axis(pool_strides, rank) == per_axis(window, rank)
            update |= {"pool_size": window, "pool_strides": None if as_window else pool_strides}
    clipped = block.model_copy(update=update)
    return clipped if clipped.pooling != "none" else clipped.model_copy(update=_UNUSED_WITHOUT_POOLING)


def _after(block: Block, grid: tuple[int, ...]) -> tuple[int, ...]:
    """Grid after a block that fits."""
    rank = len(grid)
    kernel, strides = per_axis(block.kernel_size, rank), per_axis(block.strides, rank)
    for conv in range(block.convs):
        steps = strides if conv == 0 else (1,) * rank
        if block.padding == "same":
            grid = tuple(-(-n // s) for n, s in zip(grid, steps, strict=True))
        else:
            grid = tuple((n - k) // s + 1 for n, k, s in zip(grid, kernel, steps, strict=True))
    if block.pooling != "none":
        window = per_axis(block.pool_size, rank)
        steps = window if block.pool_strides is None else per_axis(block.pool_strides, rank)
        grid = tuple((n - w) // s + 1 for n, w, s in zip(grid, window, steps, strict=True))
    return grid


def _axes(extent: Extent, rank: int, clip: Callable[[int, int], int]) -> Extent:
    """Clip an extent along each axis. A single number stays a single number if all axes agree."""
    clipped = tuple(clip(axis, value) for axis, value in enumerate(per_axis(extent, rank)))
    return clipped[0] if not isinstance(extent, tuple) and len(set(clipped)) == 1 else clipped
