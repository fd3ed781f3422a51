"""Small versions of samples, and descriptors of their coarse content, for grids of one to three axes."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNIT = 16384  # length of a descriptor
SIDES = {1: 256, 2: 32, 3: 16}  # greatest extent of a thumbnail, by number of axes
_KEPT = {1: 65, 2: 8, 3: 4}  # frequencies per axis in a descriptor, the constant one included
# Sums of products of these are exact in float64, so that results do not depend on the number of threads.
_LEVELS, _WEIGHT = 2047, 255


def thumbnails(samples: NDArray[np.generic]) -> NDArray[np.float32]:
    """Average samples down to at most 256 positions of a series, 32×32 of an image or 16×16×16 of a volume.

    A smaller axis keeps its extent.

    Args:
        samples: (n, *grid, channels) raw values.

    Returns:
        (n, *cells, channels).
    """
    found = samples
    for axis in range(1, samples.ndim - 1):
        extent, side = samples.shape[axis], SIDES[samples.ndim - 2]
        if extent > side:
            found = _averaged(found, axis, side)
    return np.asarray(found, np.float32)


def _averaged(samples: NDArray[Any], axis: int, side: int) -> NDArray[np.float32]:
    """Average an axis down to a number of cells."""
    extent = samples.shape[axis]
    width, rest = divmod(extent, side)
    if not rest:  # five times as fast as the general case
        before = (slice(None),) * axis
        sums = samples[(*before, slice(0, None, width))].astype(np.float32)
        for place in range(1, width):
            sums += samples[(*before, slice(place, None, width))]
        return np.asarray(sums / np.float32(width))
    starts = np.arange(side) * extent // side
    sums = np.add.reduceat(samples, starts, axis=axis, dtype=np.float32)
    widths = np.diff(np.append(starts, extent)).astype(np.float32)
    return np.asarray(sums / widths.reshape(-1, *(1,) * (samples.ndim - 1 - axis)))


def descriptors(small: NDArray[np.float32]) -> NDArray[np.int16]:
    """Describe the coarse content of thumbnails by their low frequencies, like the perceptual hash pHash.

    A change of brightness or contrast does not change a descriptor.

    Args:
        small: (n, *cells, channels) thumbnails.

    Returns:
        (n, values): the coefficients of a discrete cosine transform of the mean over the channels, without the
        constant one, scaled to length UNIT; zeros for a constant sample.
    """
    rank = small.ndim - 2
    values = small.mean(axis=-1, dtype=np.float64) if small.shape[-1] > 1 else small[..., 0].astype(np.float64)
    axes = tuple(range(1, rank + 1))
    low = values.min(axis=axes, keepdims=True)
    extent = values.max(axis=axes, keepdims=True) - low
    found = np.rint((values - low) * (_LEVELS / np.where(extent > 0, extent, 1.0)))
    for axis in axes:
        weights = _cosines(small.shape[axis], min(_KEPT[rank], small.shape[axis]))
        found = np.moveaxis(np.moveaxis(found, axis, -1) @ weights, -1, axis)
    flat = found.reshape(len(small), -1)[:, 1:]
    length = np.sqrt(np.square(flat).sum(axis=1, keepdims=True))
    return np.asarray(np.rint(flat * (UNIT / np.where(length > 0, length, 1.0))), np.int16)


def detail(small: NDArray[np.float32]) -> NDArray[np.float32]:
    """Subtract from each value the mean of its 3, 3×3 or 3×3×3 neighbourhood.

    Args:
        small: (n, *cells, channels) thumbnails.
    """
    smooth = small
    for axis in range(1, small.ndim - 1):
        extent = small.shape[axis]
        before, after = (np.clip(np.arange(extent) + step, 0, extent - 1) for step in (-1, 1))
        smooth = (smooth.take(before, axis) + smooth + smooth.take(after, axis)) / np.float32(3)
    return small - smooth


@cache
def _cosines(extent: int, kept: int) -> NDArray[np.float64]:
    """(extent, kept) whole-number weights of the lowest frequencies."""
    position, frequency = np.arange(extent)[:, None] + 0.5, np.arange(kept)
    return np.asarray(np.rint(_WEIGHT * np.cos(np.pi * position * frequency / extent)))
