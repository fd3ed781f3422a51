"""Sample grids at other positions, with linear interpolation."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.corruptions.corruption import Samples

_MAX_POSITIONS = 2_000_000  # whose coordinates are computed at a time, which bounds the memory


def resample(
    samples: Samples,
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64] | None = None,
    field: NDArray[np.floating] | None = None,
) -> Samples:
    """Sample each grid at other positions, with linear interpolation. Positions outside have the value of the edge.

    Args:
        samples: (n, *grid, channels) values.
        matrix: (rank, rank), or one for each sample: from a position in the result to one in the sample, relative to
            the centre.
        offset: (n, rank) displacements to add to the positions.
        field: (rank, n, *grid) displacements to add to the positions.
    """
    depth, count = samples.shape[1], int(np.prod(samples.shape[:-1]))
    slab = max(1, depth * _MAX_POSITIONS // count)
    parts = [
        _slab(samples, slice(start, min(start + slab, depth)), matrix, offset, field) for start in range(0, depth, slab)
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _slab(
    samples: Samples,
    along: slice,
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64] | None,
    field: NDArray[np.floating] | None,
) -> Samples:
    """A part of the result of `resample` along the first axis of the grid."""
    grid = samples.shape[1:-1]
    rank, centre = len(grid), (np.array(grid) - 1) / 2
    ranges = [np.arange(along.start, along.stop), *(np.arange(side) for side in grid[1:])]
    places = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1) - centre
    shape = places.shape[:-1]
    places = np.einsum("...ij,pj->...pi", matrix, places.reshape(-1, rank))  # (pixels, rank), or (n, pixels, rank)
    places = np.broadcast_to(places, (len(samples), *places.shape[-2:])) + centre
    if offset is not None:
        places = places + offset[:, None, :]
    places = np.moveaxis(places.reshape(len(samples), *shape, rank), -1, 0)
    if field is not None:
        places = places + field[:, :, along]
    number = np.broadcast_to(np.arange(len(samples)).reshape(-1, *(1 for _ in grid)), places.shape[1:])
    coordinates = np.concatenate([number[None], places])
    channels = [
        ndimage.map_coordinates(samples[..., channel], coordinates, order=1, mode="nearest")
        for channel in range(samples.shape[-1])
    ]
    return np.stack(channels, axis=-1)
