"""Change the sampling rate or the length of a sample."""

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAX_FACTOR = 1000  # larger factors need filters of more than 20,000 taps; the rate is then met within 1 in 1,000,000


def resample(sample: NDArray[Any], rate: float, new_rate: float) -> NDArray[Any]:
    """Convert a sample to another sampling rate with `scipy.signal.resample_poly`, which removes what would alias.

    Args:
        sample: (time, ...) values.
        rate: Sampling rate of the sample, in Hz.
        new_rate: Sampling rate of the result, in Hz.

    Returns:
        (ceil(time × new_rate / rate), ...) values of the same dtype. The ends are continued with the line from the
        first to the last value, so that a constant sample stays constant.
    """
    if rate == new_rate or not len(sample):
        return sample
    from scipy.signal import resample_poly

    ratio = (Fraction(new_rate) / Fraction(rate)).limit_denominator(_MAX_FACTOR)
    if ratio == 1:
        return sample
    if ratio == 0:
        ratio = Fraction(1, _MAX_FACTOR)
    resampled = resample_poly(sample, ratio.numerator, ratio.denominator, axis=0, padtype="line")
    return np.asarray(resampled, sample.dtype)


def stretch(sample: NDArray[Any], length: int) -> NDArray[Any]:
    """Resample a sample to exactly `length` values.

    Args:
        sample: (time, ...) values.
        length: Number of values of the result.
    """
    if len(sample) == 1:
        return np.repeat(sample, length, axis=0)
    resampled = resample(sample, len(sample), length)
    if len(resampled) >= length:  # the ratio was rounded, or the length was rounded up
        return resampled[:length]
    return np.concatenate([resampled, np.repeat(resampled[-1:], length - len(resampled), axis=0)])
