"""Corruptions of images and volumes.

The kinds follow Hendrycks and Dietterich (2019), "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations". The amounts are specific to this project: they are shares of the image's side or of the value range, so
that they mean the same for 8×8 digits and for photographs.
"""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.corruptions.corruption import Corruption, Samples
from pipeline.corruptions.resampling import resample

_MIN_BLUR = 0.3  # pixels; below this, a neighbour weighs less than half a percent
_MAX_FIELD = 1_000_000  # positions of a field of displacements; larger ones are drawn on a coarser grid
_COARSE = 64  # positions along each axis of such a grid


def _shift(images: Samples, share: float, numbers: Generator) -> Samples:
    """Shift each image along every axis by a share of its side, in a random direction, and repeat its edge."""
    grid = np.array(images.shape[1:-1])
    signs = numbers.choice((-1.0, 1.0), (len(images), len(grid)))
    return resample(images, np.eye(len(grid)), -signs * share * grid)


def _scale(images: Samples, factor: float, numbers: Generator) -> Samples:
    """Scale each image about its centre."""
    return resample(images, np.eye(images.ndim - 2) / factor)


def _rotate(images: Samples, degrees: float, numbers: Generator) -> Samples:
    """Rotate each image about its centre, in the plane of its first two axes, in a random direction."""
    angles = np.deg2rad(degrees) * numbers.choice((-1.0, 1.0), len(images))
    turns = np.tile(np.eye(images.ndim - 2), (len(images), 1, 1))
    turns[:, 0, 0] = turns[:, 1, 1] = np.cos(angles)
    turns[:, 0, 1], turns[:, 1, 0] = np.sin(angles), -np.sin(angles)
    return resample(images, turns)


def _distort(images: Samples, share: float, numbers: Generator) -> Samples:
    """Move each pixel along a smooth random field.

    After Simard, Steinkraus and Platt (2003), "Best Practices for Convolutional Neural Networks Applied to Visual
    Document Analysis". The mean distance is the given share of the side.
    """
    grid = images.shape[1:-1]
    drawn = grid if np.prod(grid) <= _MAX_FIELD else tuple(min(side, _COARSE) for side in grid)
    field = numbers.normal(size=(len(images), len(grid), *drawn))
    field = ndimage.gaussian_filter(field, (0, 0, *(max(1.0, side / 8) for side in drawn)), mode="nearest")
    axes = tuple(range(1, field.ndim))
    length = np.sqrt((field**2).sum(axis=1, keepdims=True)).mean(axis=axes, keepdims=True)
    field *= share * float(np.mean(grid)) / np.maximum(length, 1e-12)
    if drawn != grid:
        factors = (1, 1, *(side / coarse for side, coarse in zip(grid, drawn, strict=True)))
        field = ndimage.zoom(field.astype(np.float32), factors, order=1, mode="nearest", grid_mode=True)
    return resample(images, np.eye(len(grid)), field=np.moveaxis(field, 1, 0))


def _noise(images: Samples, deviation: float, numbers: Generator) -> Samples:
    """Add Gaussian noise to each value."""
    return images + numbers.normal(0.0, deviation, images.shape).astype(np.float32)


def _salt_and_pepper(images: Samples, share: float, numbers: Generator) -> Samples:
    """Set a share of the pixels to white or black, in all channels."""
    drawn = numbers.random((*images.shape[:-1], 1))
    salted = np.where(drawn < share / 2, np.float32(1.0), images)
    return np.asarray(np.where(drawn > 1 - share / 2, np.float32(0.0), salted), np.float32)


def _glare(images: Samples, radius: float, numbers: Generator) -> Samples:
    """Add a bright spot at a random position, saturated in its centre and fading out beyond its radius."""
    grid = images.shape[1:-1]
    centres = numbers.uniform(0.2, 0.8, (len(images), len(grid)))
    squared = np.zeros((len(images), *grid))
    for axis, side in enumerate(grid):
        away = (np.arange(side) + 0.5) / side - centres[:, axis : axis + 1]
        squared += (away**2).reshape(len(images), *(side if place == axis else 1 for place in range(len(grid))))
    light = np.clip(np.exp(0.5 - 0.5 * squared / radius**2), 0.0, 1.0)[..., None].astype(np.float32)
    return images + light * (1.0 - images)


def _blur(images: Samples, share: float, numbers: Generator) -> Samples:
    """Blur with a Gaussian whose standard deviation is a share of the side, and at least reaches the next pixel."""
    deviations = (0.0, *(max(share * side, _MIN_BLUR) for side in images.shape[1:-1]), 0.0)
    return np.asarray(ndimage.gaussian_filter(images, deviations, mode="nearest"))


def _brighten(images: Samples, amount: float, numbers: Generator) -> Samples:
    """Make each image brighter or darker by a constant."""
    signs = numbers.choice((-1.0, 1.0), len(images)).astype(np.float32)
    return images + np.float32(amount) * _over_pixels(signs, images)


def _flatten(images: Samples, factor: float, numbers: Generator) -> Samples:
    """Move the values of each image towards their mean."""
    mean: Samples = images.mean(axis=tuple(range(1, images.ndim)), keepdims=True)
    return mean + np.float32(factor) * (images - mean)


def _occlude(images: Samples, share: float, numbers: Generator) -> Samples:
    """Cover a box at a random position with the mean of the image. Its sides are a share of the image's."""
    covered = np.ones(images.shape[:-1], bool)
    for axis, side in enumerate(images.shape[1:-1]):
        length = max(1, round(share * side))
        starts = numbers.integers(0, side - length + 1, len(images))[:, None]
        inside = (np.arange(side) >= starts) & (np.arange(side) < starts + length)
        covered &= inside.reshape(len(images), *(side if axis == place else 1 for place in range(covered.ndim - 1)))
    mean = images.mean(axis=tuple(range(1, images.ndim)), keepdims=True)
    return np.where(covered[..., None], mean, images)


def _over_pixels(values: NDArray[np.float32], images: Samples) -> Samples:
    """Reshape one value per image for broadcasting over the pixels."""
    return values.reshape(-1, *(1 for _ in images.shape[1:]))


IMAGE_CORRUPTIONS = {
    "shift": Corruption((0.04, 0.08, 0.12, 0.16, 0.2), "of the side length", _shift),
    "shrink": Corruption((0.9, 0.8, 0.7, 0.6, 0.5), "times the size", _scale),
    "grow": Corruption((1.1, 1.2, 1.35, 1.5, 1.75), "times the size", _scale),
    "rotation": Corruption((5.0, 10.0, 20.0, 30.0, 45.0), "degrees", _rotate),
    "elastic": Corruption((0.01, 0.02, 0.03, 0.045, 0.06), "of the side length", _distort),
    "gaussian_noise": Corruption((0.04, 0.08, 0.12, 0.18, 0.26), "of the value range", _noise),
    "salt_and_pepper": Corruption((0.01, 0.02, 0.05, 0.1, 0.2), "of the pixels", _salt_and_pepper),
    "glare": Corruption((0.05, 0.1, 0.15, 0.2, 0.3), "of the side length", _glare),
    "blur": Corruption((0.015, 0.03, 0.045, 0.06, 0.09), "of the side length", _blur),
    "brightness": Corruption((0.1, 0.2, 0.3, 0.4, 0.5), "of the value range", _brighten),
    "contrast": Corruption((0.75, 0.5, 0.35, 0.2, 0.1), "times the contrast", _flatten),
    "occlusion": Corruption((0.2, 0.3, 0.4, 0.5, 0.6), "of the side length", _occlude),
}
