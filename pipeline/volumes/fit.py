"""Fit a volume to the shape of a format."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.volume_format import VolumeFormat


def fitted(values: NDArray[np.float32], form: VolumeFormat) -> NDArray[np.float32]:
    """Fit a volume to the shape of a format. A volume that has this shape already is returned as it is.

    `stretch` scales each axis by its own factor. `pad` and `crop` scale all axes by the same factor, so that the whole
    volume or only its central part is within the shape. `center` does not scale. Scaling interpolates linearly.

    Args:
        values: (depth, height, width, channels) values.
        form: Shape, policy and the value of margins.

    Returns:
        (*shape, channels) values.
    """
    shape = form.shape
    if shape is None or values.shape[:3] == shape:
        return values
    if form.resize == "stretch":
        return _scaled(values, shape)
    factors = [wanted / extent for wanted, extent in zip(shape, values.shape[:3], strict=True)]
    if form.resize == "crop":
        kept = [max(1, round(wanted / max(factors))) for wanted in shape]
        return _scaled(_central(values, kept), shape)
    if form.resize == "pad":
        inner = [max(1, round(extent * min(factors))) for extent in values.shape[:3]]
        values = _scaled(values, [min(pair) for pair in zip(inner, shape, strict=True)])
    return _centered(values, shape, form.fill)


def _scaled(values: NDArray[np.float32], shape: Sequence[int]) -> NDArray[np.float32]:
    """Interpolate linearly between the centres of voxels."""
    from scipy.ndimage import zoom

    factors = [wanted / extent for wanted, extent in zip(shape, values.shape[:3], strict=True)]
    if factors == [1.0, 1.0, 1.0]:
        return values
    scaled: Any = zoom(values, [*factors, 1.0], order=1, mode="nearest", grid_mode=True)
    return np.asarray(scaled, np.float32)


def _central(values: NDArray[np.float32], shape: Sequence[int]) -> NDArray[np.float32]:
    """The central part of a volume, or all of an axis that is shorter."""
    starts = [max(0, extent - wanted) // 2 for extent, wanted in zip(values.shape[:3], shape, strict=True)]
    return values[tuple(slice(start, start + wanted) for start, wanted in zip(starts, shape, strict=True))]


def _centered(values: NDArray[np.float32], shape: Sequence[int], fill: float) -> NDArray[np.float32]:
    """The central part of a volume, with margins along axes that are shorter."""
    inner = _central(values, shape)
    placed = np.full((*shape, values.shape[3]), fill, np.float32)
    starts = [(wanted - extent) // 2 for wanted, extent in zip(shape, inner.shape[:3], strict=True)]
    placed[tuple(slice(start, start + extent) for start, extent in zip(starts, inner.shape[:3], strict=True))] = inner
    return placed
