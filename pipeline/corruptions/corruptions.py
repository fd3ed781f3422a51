"""Corruptions with five severities, for robustness tests of each kind of sample."""

from collections.abc import Mapping
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from pipeline.corruptions.corruption import Corruption, Samples
from pipeline.corruptions.image_corruptions import IMAGE_CORRUPTIONS
from pipeline.corruptions.signal_corruptions import AUDIO_CORRUPTIONS, SERIES_CORRUPTIONS
from pipeline.data.dataset import Kind

CORRUPTIONS: Mapping[Kind, Mapping[str, Corruption]] = {
    "image": IMAGE_CORRUPTIONS,
    "series": SERIES_CORRUPTIONS,
    "audio": AUDIO_CORRUPTIONS,
    "volume": IMAGE_CORRUPTIONS,
}


def corrupt(
    samples: NDArray[np.generic],
    name: str,
    severity: int,
    seed: int,
    bounds: tuple[float, float],
    kind: Kind = "image",
) -> Samples:
    """Return corrupted copies of samples. They depend only on the arguments.

    Args:
        samples: (n, *grid, channels) raw values.
        name: Name of a corruption of this kind in CORRUPTIONS.
        severity: Severity from 1 to 5.
        seed: Seed of all random choices, which differ between samples.
        bounds: Smallest and largest raw value that occurs.
        kind: Kind of the samples.

    Returns:
        float32 raw values of the same shape; within the bounds, except for series, whose values have no limits.
    """
    corruption, (low, high) = CORRUPTIONS[kind][name], bounds
    scaled = (np.asarray(samples, np.float32) - np.float32(low)) / np.float32(high - low)
    numbers = np.random.default_rng([seed, crc32(name.encode()), severity])
    changed = corruption.apply(scaled, corruption.amounts[severity - 1], numbers)
    if corruption.clipped:
        changed = np.clip(changed, 0.0, 1.0)
    return np.asarray(changed * np.float32(high - low) + np.float32(low), np.float32)


def corruptions_of(kind: Kind, names: tuple[str, ...]) -> tuple[str, ...]:
    """Select the corruptions that apply to a kind of samples; for example, a series cannot be rotated."""
    return tuple(name for name in names if name in CORRUPTIONS[kind])
