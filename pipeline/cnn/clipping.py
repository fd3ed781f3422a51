"""Clip kernels, windows and strides to the feature maps of an architecture."""

from collections.abc import Callable
from functools import lru_cache

from pipeline.cnn.architecture import Architecture, per_axis
from pipeline.cnn.geometry import MAX_KEPT
from pipeline.params.model import Block, Extent

_UNUSED_WITHOUT_POOLING = {key: Block.model_fields[key].default for key in ("pool_size", "pool_strides", "pool_first")}


@lru_cache(MAX_KEPT)
def clip_architecture(architecture: Architecture) -> Architecture:
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
