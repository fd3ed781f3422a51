"""Corruptions of series and of spectrograms, whose first axis is time.

Series have no natural range of values, so the amounts of their corruptions are relative to each series. A spectrogram
has a logarithmic scale, on which a gain is a constant, and on which noise covers what is quieter than the noise.
"""

from dataclasses import replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pipeline.corruptions.corruption import Corruption, Samples
from pipeline.corruptions.image_corruptions import IMAGE_CORRUPTIONS
from pipeline.corruptions.resampling import resample

_FLICKER = 0.02  # standard deviation of the noise level, as a share of the value range


def _over_samples(values: NDArray[np.floating], samples: Samples) -> Samples:
    """Reshape one value per sample for broadcasting over its positions."""
    shape = (-1, *(1 for _ in samples.shape[1:]))
    return np.asarray(np.asarray(values, np.float32).reshape(shape))


def _signs(samples: Samples, numbers: Generator) -> NDArray[np.float64]:
    return numbers.choice((-1.0, 1.0), len(samples))


def _noise(series: Samples, share: float, numbers: Generator) -> Samples:
    """Add Gaussian noise in proportion to the standard deviation of each channel of each series."""
    deviation: Samples = series.std(axis=1, keepdims=True)
    return series + np.float32(share) * deviation * numbers.standard_normal(series.shape, dtype=np.float32)


def _gain(series: Samples, factor: float, numbers: Generator) -> Samples:
    """Multiply or divide the deviation of each series from its mean."""
    factors = np.where(_signs(series, numbers) > 0, factor, 1 / factor)
    mean: Samples = series.mean(axis=1, keepdims=True)
    return mean + _over_samples(factors, series) * (series - mean)


def _mask(series: Samples, share: float, numbers: Generator) -> Samples:
    """Replace an interval at a random time by the mean of each channel."""
    return np.where(_interval(series, 1, share, numbers), series.mean(axis=1, keepdims=True), series)


def _time_shift(samples: Samples, share: float, numbers: Generator) -> Samples:
    """Shift each sample in time, earlier or later, and repeat the values at its edge."""
    rank = samples.ndim - 2
    offset = np.zeros((len(samples), rank))
    offset[:, 0] = -_signs(samples, numbers) * share * samples.shape[1]
    return resample(samples, np.eye(rank), offset)


def _stretch(samples: Samples, factor: float, numbers: Generator) -> Samples:
    """Stretch or compress each sample in time about its middle."""
    matrices = np.tile(np.eye(samples.ndim - 2), (len(samples), 1, 1))
    matrices[:, 0, 0] = np.where(_signs(samples, numbers) > 0, 1 / factor, factor)
    return resample(samples, matrices)


def _noise_floor(spectrograms: Samples, level: float, numbers: Generator) -> Samples:
    """Cover what is quieter than background noise of a level."""
    floor = level + _FLICKER * numbers.standard_normal(spectrograms.shape, dtype=np.float32)
    return np.asarray(np.maximum(spectrograms, floor), np.float32)


def _loudness(spectrograms: Samples, amount: float, numbers: Generator) -> Samples:
    """Make each recording louder or quieter."""
    return spectrograms + _over_samples(amount * _signs(spectrograms, numbers), spectrograms)


def _mask_both(spectrograms: Samples, share: float, numbers: Generator) -> Samples:
    """Replace an interval of time and an interval of bands by the mean of the recording.

    After Park and others (2019), "SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition".
    """
    masked = _interval(spectrograms, 1, share, numbers) | _interval(spectrograms, 2, share, numbers)
    return np.where(masked, spectrograms.mean(axis=tuple(range(1, spectrograms.ndim)), keepdims=True), spectrograms)


def _interval(samples: Samples, axis: int, share: float, numbers: Generator) -> NDArray[np.bool_]:
    """Random interval of each sample along an axis, for broadcasting over the sample."""
    side = samples.shape[axis]
    length = max(1, round(share * side))
    starts = numbers.integers(0, side - length + 1, len(samples))[:, None]
    inside = (np.arange(side) >= starts) & (np.arange(side) < starts + length)
    shape = (len(samples), *(side if place == axis else 1 for place in range(1, samples.ndim)))
    return np.asarray(inside.reshape(shape))


_TIME_SHIFT = Corruption((0.04, 0.08, 0.12, 0.16, 0.2), "of the duration", _time_shift)
_STRETCH = Corruption((1.05, 1.1, 1.2, 1.35, 1.5), "times the duration, or divided by it", _stretch)

SERIES_CORRUPTIONS = {
    "elastic": replace(IMAGE_CORRUPTIONS["elastic"], unit="of the duration"),
    "blur": replace(IMAGE_CORRUPTIONS["blur"], unit="of the duration"),
    "noise": Corruption((0.1, 0.2, 0.4, 0.7, 1.0), "times the standard deviation", _noise, clipped=False),
    "gain": Corruption((1.1, 1.25, 1.5, 2.0, 3.0), "times the amplitude, or divided by it", _gain, clipped=False),
    "time_shift": _TIME_SHIFT,
    "stretch": _STRETCH,
    "masking": Corruption((0.1, 0.2, 0.3, 0.4, 0.5), "of the duration", _mask),
}
AUDIO_CORRUPTIONS = {
    "blur": replace(IMAGE_CORRUPTIONS["blur"], unit="of the duration and of the bands"),
    "noise": Corruption((0.2, 0.35, 0.5, 0.6, 0.7), "of the value range", _noise_floor),
    "gain": Corruption((0.05, 0.1, 0.15, 0.2, 0.3), "of the value range", _loudness),
    "time_shift": _TIME_SHIFT,
    "stretch": _STRETCH,
    "masking": Corruption((0.05, 0.1, 0.15, 0.2, 0.3), "of the duration and of the bands", _mask_both),
}
