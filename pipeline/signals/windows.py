"""Cut long samples into windows, and fit samples of other lengths to a window."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.signals.resample import stretch


def window_starts(length: int, window: int, hop: int) -> list[int]:
    """Return the starts of the windows that cover a sample.

    Windows start every `hop` values. If the end of the sample is not covered, one more window ends with it.

    Args:
        length: Number of values of the sample, at least `window`.
        window: Number of values of a window.
        hop: Number of values from the start of a window to that of the next one.
    """
    starts = list(range(0, length - window + 1, hop))
    if starts and starts[-1] + window < length:
        starts.append(length - window)
    return starts


def cut(sample: NDArray[Any], window: int, hop: int) -> NDArray[Any]:
    """Cut a sample into windows.

    Args:
        sample: (time, ...) values; at least `window` of them.
        window: Number of values of a window.
        hop: Number of values from the start of a window to that of the next one.

    Returns:
        (windows, window, ...) values, a copy.
    """
    return np.stack([sample[start : start + window] for start in window_starts(len(sample), window, hop)])


def check_length(length: int, window: int, lengths: str, name: str) -> None:
    """Raise an error for a sample that `fit_length` cannot convert.

    Raises:
        UserError: The length is not that of a window, and the policy does not change it.
    """
    if length == window or lengths in ("pad", "stretch") or (lengths == "crop" and length > window):
        return
    remedies = "pad or stretch" if length < window else "crop, pad or stretch"
    raise UserError(
        f"{name}: must have {window} time steps, got {length}; set data.series.lengths: {remedies} to convert it"
    )


def fit_length(sample: NDArray[Any], window: int, lengths: str, name: str) -> NDArray[Any]:
    """Convert a sample to exactly `window` values.

    Args:
        sample: (time, channels) values.
        window: Number of values of the result.
        lengths: What happens if the sample has another length. error: it is refused; pad: the last value is repeated,
            a longer sample loses its end; crop: a longer sample loses its end, a shorter one is refused; stretch: it is
            resampled.
        name: Name of the sample in messages.

    Returns:
        (window, channels) values.

    Raises:
        UserError: The length does not fit, and the policy does not change it.
    """
    length = len(sample)
    check_length(length, window, lengths, name)
    if length == window:
        return sample
    if lengths == "stretch":
        return stretch(sample, window)
    if length > window:
        return sample[:window]
    return np.pad(sample, ((0, window - length), (0, 0)), mode="edge")


def time_segments(length: int, val_fraction: float, test_fraction: float) -> dict[str, slice]:
    """Divide a sample into its first part for training, the next for validation, and its end for testing.

    The segments do not overlap, so windows cut within each of them share no value with another split.

    Args:
        length: Number of values of the sample.
        val_fraction: Fraction of the values before the test segment that are used for validation.
        test_fraction: Fraction of all values that are used for testing.
    """
    test = length - round(length * test_fraction)
    val = test - round(test * val_fraction)
    return {"train": slice(0, val), "val": slice(val, test), "test": slice(test, length)}
