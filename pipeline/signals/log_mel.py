"""Log-mel spectrograms: the power of sound by time and by frequency band, in decibels.

The mel scale is that of D. O'Shaughnessy, Speech Communication (1987), mel = 2595 log10(1 + f / 700), with triangular
filters of height 1 as in S. Young et al., The HTK Book, section 5.4. `librosa.filters.mel(htk=True, norm=None)` gives
the same filters.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError


def mel_of(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert frequencies to the mel scale."""
    return np.asarray(2595.0 * np.log10(1.0 + hertz / 700.0))


def hertz_of(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert values on the mel scale to frequencies."""
    return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))


@cache
def mel_filters(rate: int, size: int, bands: int, low: float, high: float) -> NDArray[np.float32]:
    """Return triangular filters whose centres are equally spaced on the mel scale.

    Args:
        rate: Sampling rate in Hz.
        size: Number of samples of the Fourier transform.
        bands: Number of filters.
        low: Lower edge of the first filter in Hz.
        high: Upper edge of the last filter in Hz.

    Returns:
        (bands, size // 2 + 1) weights from 0 to 1; read-only.

    Raises:
        UserError: A band is narrower than the resolution of the transform, and would always be empty.
    """
    frequencies = np.arange(size // 2 + 1) * (rate / size)
    lowest, highest = mel_of(np.array([low, high])).tolist()
    edges = hertz_of(np.linspace(lowest, highest, bands + 2))
    below, centre, above = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (frequencies - below) / (centre - below)
    falling = (above - frequencies) / (above - centre)
    filters = np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
    empty = np.flatnonzero(~filters.any(axis=1))
    if len(empty):
        first = empty[0]
        raise UserError(
            f"data.audio.bands: each band must contain a frequency of the transform, which has a step of "
            f"{rate / size:g} Hz, but band {first} from {edges[first]:.0f} to {edges[first + 2]:.0f} Hz contains none "
            f"of them; use fewer bands than {bands}, or a longer data.audio.window_ms"
        )
    filters.flags.writeable = False
    return filters


def transform_size(window: int) -> int:
    """Number of samples of the Fourier transform of a window: the next power of two."""
    return 1 << (window - 1).bit_length()


def frames_of(samples: int, window: int, hop: int) -> int:
    """Return the number of windows that lie entirely within a number of samples."""
    return max(0, 1 + (samples - window) // hop)


def log_mel(
    samples: NDArray[np.float32],
    *,
    rate: int,
    window: int,
    hop: int,
    bands: int,
    low: float,
    high: float,
    floor_db: float,
) -> NDArray[np.float32]:
    """Compute the log-mel spectrogram of a recording.

    A window is weighted by a periodic Hann function and padded with zeros to a power of two. Its power spectrum is
    scaled so that a sine of amplitude 1 has a power of 1, summed in each band, and converted to decibels.

    Args:
        samples: (n,) values from -1 to 1; at least `window`.
        rate: Sampling rate in Hz.
        window: Number of samples of a window.
        hop: Number of samples from one window to the next.
        bands: Number of frequency bands.
        low: Lower edge of the lowest band in Hz.
        high: Upper edge of the highest band in Hz.
        floor_db: Decibels below which the result is clipped; negative.

    Returns:
        (frames, bands) decibels from `floor_db` to 0; the first band is the lowest.

    Raises:
        UserError: There are too many bands for the length of the window.
    """
    from scipy.fft import rfft
    from scipy.signal.windows import hann

    size = transform_size(window)
    weights = hann(window, sym=False).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop]
    spectrum = rfft(frames * weights, n=size, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2) * np.float32((2.0 / weights.sum()) ** 2)
    mel = power @ mel_filters(rate, size, bands, low, high).T
    decibels = 10.0 * np.log10(np.maximum(mel, np.float32(10.0 ** (floor_db / 10.0))))
    return np.asarray(np.clip(decibels, floor_db, 0.0), np.float32)
