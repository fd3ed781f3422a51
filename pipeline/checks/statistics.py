"""A few numbers about each sample, from which outliers and drift are found."""

import numpy as np
from numpy.typing import NDArray

STATISTICS = ("mean", "contrast", "roughness")
DESCRIPTIONS = {
    "mean": "mean of the values",
    "contrast": "standard deviation of the values",
    "roughness": "mean difference of neighbouring values, relative to the contrast: high for noise, low for blur",
}
_POSITIONS = 64  # per axis of a large sample, for contrast and roughness


def statistics(samples: NDArray[np.generic], small: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the statistics of each sample.

    Contrast and roughness of large samples are those of at most 64 positions per axis, evenly spread.

    Args:
        samples: (n, *grid, channels) raw values.
        small: (n, *cells, channels) their thumbnails.

    Returns:
        (n, 3) mean, contrast and roughness.
    """
    grid = samples.shape[1:-1]
    steps = [-(-extent // _POSITIONS) for extent in grid]
    spread = samples[(slice(None), *(slice(None, None, step) for step in steps))]
    count, trailing = len(samples), tuple(range(1, samples.ndim))
    contrast = spread.reshape(count, -1).std(axis=1, dtype=np.float32)
    differences = []
    for axis, extent in enumerate(grid):
        if extent > 1:
            after, before = (
                tuple(
                    slice(start if other == axis else 0, end if other == axis else None, each)
                    for other, each in enumerate(steps)
                )
                for start, end in ((1, None), (0, -1))
            )
            change = samples[(slice(None), *after)].astype(np.float32)
            change -= samples[(slice(None), *before)].astype(np.float32)
            differences.append(np.abs(change, out=change).mean(axis=trailing, dtype=np.float32))
    change = np.mean(differences, axis=0) if differences else np.zeros(count, np.float32)
    rough = np.divide(change, contrast, out=np.zeros_like(contrast), where=contrast > 0)
    mean = small.mean(axis=trailing, dtype=np.float32)
    return np.nan_to_num(np.stack([mean, contrast, rough], axis=1).astype(np.float32))  # sums of huge values overflow


def constant(samples: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Whether all values of each sample are equal."""
    flat = samples.reshape(len(samples), -1)
    return np.asarray(flat.min(axis=1) == flat.max(axis=1))
