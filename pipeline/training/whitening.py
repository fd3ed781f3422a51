"""Filters that decorrelate patches of the training images, as initial weights of the first convolution.

Source: Page (2019), "How to Train Your ResNet 8: Bag of Tricks". There the filters are fixed; here they are trained.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.geometry import compute_geometry
from pipeline.data.training_data import TrainingData

_MAX_IMAGES, _MAX_PATCHES = 500, 50_000
_MAX_BYTES = 2**28  # of the images, which remain in memory
_MAX_VALUES = 128  # in a patch; the covariance of larger ones would take seconds
_EPSILON = 1e-2  # added to the variance of each component, in standardized units, so that noise is not amplified


def whitening_filters(architecture: Architecture, data: TrainingData) -> NDArray[np.float32] | None:
    """Return filters whose outputs on patches of the training images are uncorrelated, with variances of about 1.

    Args:
        architecture: The network.
        data: The training images, and the mean and standard deviation with which they are standardized.

    Returns:
        (filters, *extent, channels), that of the component with the largest variance first; None if the first layer is
        no ordinary convolution, or if its kernel is too large.

    Raises:
        Infeasible: The architecture does not fit its input.
    """
    first = next(
        (entry.layer for entry in compute_geometry(architecture).layers if entry.layer.inputs == ("standardize",)), None
    )
    if first is None or first.kind != "convolution" or first.whole:
        return None
    shape = (*first.extent, architecture.input_shape[-1])
    return None if np.prod(shape) > _MAX_VALUES else _filters(_Images(data), shape)


class _Images:
    """Some of the training images, which are equal if those of the whole split are."""

    def __init__(self, data: TrainingData) -> None:
        images, self._key = data.train.images, (data.train.digest, data.dataset.mean, data.dataset.std)
        fitting = _MAX_BYTES // (images.dtype.itemsize * int(np.prod(images.shape[1:])))
        chosen = np.linspace(0, len(images) - 1, min(_MAX_IMAGES, len(images), max(1, fitting))).astype(int)
        self.images = np.asarray(images[chosen])  # a cache that held the split would keep each fold in memory
        self.mean, self.std = np.array(data.dataset.mean), np.array([each or 1.0 for each in data.dataset.std])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Images) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@lru_cache(maxsize=16)
def _filters(source: _Images, shape: tuple[int, ...]) -> NDArray[np.float32]:
    patches = _patches(source, shape)
    centred = patches - patches.mean(axis=0)
    # einsum adds in a fixed order, unlike a matrix product, whose order depends on the number of threads.
    covariance = np.einsum("ni,nj->ij", centred, centred, optimize=False) / len(patches)
    variances, components = np.linalg.eigh(covariance)
    filters = (components / np.sqrt(variances.clip(0.0) + _EPSILON)).T[::-1]
    return filters.reshape(-1, *shape).astype(np.float32)


def _patches(source: _Images, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """(patches, values) standardized patches at regular distances, at most _MAX_PATCHES; of one image at a time."""
    places = tuple(side - extent + 1 for side, extent in zip(source.images.shape[1:], shape, strict=True))
    per_image = int(np.prod(places))
    total = per_image * len(source.images)
    chosen = np.arange(0, total, -(-total // _MAX_PATCHES))
    parts = []
    for number, image in enumerate(source.images):
        start = number * per_image
        first, last = np.searchsorted(chosen, (start, start + per_image))
        windows = np.lib.stride_tricks.sliding_window_view((image.astype(np.float64) - source.mean) / source.std, shape)
        parts.append(windows[np.unravel_index(chosen[first:last] - start, places)])
    return np.concatenate(parts).reshape(len(chosen), -1)
