"""Find missing values and time steps of a series, and fill them if that is declared."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UnreadableError, plural

_REMEDY = "repair the file, or set data.series.missing: interpolate"
_LEAST, _MOST = 0.5, 1.5  # steps between these multiples of the median step are taken as regular
_MAX_GROWTH = 100  # time steps of an interpolated series per time step of its file
_MAX_VALUES = 2**28  # of an interpolated series: 2 GiB as 64-bit numbers


def filled(values: NDArray[Any], missing: str, name: str) -> NDArray[Any]:
    """Return a series without missing values.

    Args:
        values: (time, channels) values; NaN: missing.
        missing: error: missing values are refused; interpolate: they are filled with the line between their
            neighbours in time, and at the ends with the nearest value.
        name: Name of the series in messages.

    Raises:
        UnreadableError: A value is infinite, a value is missing and may not be filled, or a channel has no values.
    """
    infinite = np.argwhere(np.isinf(values))
    if len(infinite):
        step, channel = infinite[0]
        raise UnreadableError(
            f"{name}: values must be finite, got infinity at time step {step}, channel {channel}"
            f"{_more(len(infinite))}; repair the file"
        )
    absent = np.isnan(values)
    if not absent.any():
        return values
    if missing != "interpolate":
        step, channel = np.argwhere(absent)[0]
        raise UnreadableError(
            f"{name}: must have no missing values, got one at time step {step}, channel {channel}"
            f"{_more(int(absent.sum()))}; {_REMEDY}"
        )
    steps, result = np.arange(len(values)), values.copy()
    for channel in np.flatnonzero(absent.any(axis=0)):
        lost = absent[:, channel]
        if lost.all():
            raise UnreadableError(f"{name}: channel {channel} must have values, got none; remove the channel")
        result[lost, channel] = np.interp(steps[lost], steps[~lost], values[~lost, channel])
    return result


def regular(values: NDArray[Any], times: NDArray[np.float64], missing: str, name: str) -> tuple[NDArray[Any], float]:
    """Return a series with equal time steps, and its sampling rate.

    Steps from 0.5 to 1.5 times the median step are taken as equal.

    Args:
        values: (time, channels) values; NaN: missing.
        times: (time,) time stamps in seconds.
        missing: error: a gap is refused; interpolate: the series is interpolated at equal steps.
        name: Name of the series in messages.

    Returns:
        (time, channels) values and the sampling rate in Hz.

    Raises:
        UnreadableError: There are fewer than two time stamps, they do not increase, or there is a gap, or the gaps are
            too long to be filled.
    """
    if len(times) < 2:
        raise UnreadableError(f"{name}: must have at least two time steps, got {len(times)}; remove the file")
    bad = np.flatnonzero(~np.isfinite(times))
    if len(bad):
        raise UnreadableError(f"{name}: time step {bad[0]} must have a time stamp, got none; repair the file")
    steps = np.diff(times)
    back = np.flatnonzero(steps <= 0)
    if len(back):
        first = back[0] + 1
        raise UnreadableError(
            f"{name}: time stamps must increase, got {times[first]:g} after {times[first - 1]:g} at time step {first}; "
            "sort the rows and remove duplicates"
        )
    step = float(np.median(steps))
    uneven = np.flatnonzero((steps < _LEAST * step) | (steps > _MOST * step))
    if not len(uneven):
        return values, 1.0 / step
    if missing != "interpolate":
        first = uneven[0]
        raise UnreadableError(
            f"{name}: time stamps must have equal steps of about {step:g}, got a gap of {steps[first]:g} after time "
            f"step {first}, at {times[first]:g}{_more(len(uneven))}; {_REMEDY}"
        )
    count = round((times[-1] - times[0]) / step) + 1
    if count > _MAX_GROWTH * len(times) or count * values.shape[1] > _MAX_VALUES:
        longest = int(np.argmax(steps))
        raise UnreadableError(
            f"{name}: gaps must be short enough to be filled: at most {_MAX_GROWTH} time steps per row and "
            f"{_MAX_VALUES:,} values, got {len(times):,} rows that would become {count:,} time steps, "
            f"with a gap of {steps[longest]:g} after time step {longest}; correct the time stamps, or "
            "split the file there"
        )
    even = times[0] + step * np.arange(count)
    known = filled(values, missing, name)
    columns = [np.interp(even, times, known[:, channel]) for channel in range(known.shape[1])]
    return np.stack(columns, axis=1).astype(values.dtype), 1.0 / step


def equal_steps(step: float, other: float) -> bool:
    """Whether a time step counts as equal to another one."""
    return _LEAST * other <= step <= _MOST * other


def _more(count: int) -> str:
    return f" (and {count - 1} more {plural(count - 1, 'place')})" if count > 1 else ""
