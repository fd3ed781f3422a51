"""Convert a file or lists of numbers to inputs of a network for time series."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.series_format import SeriesFormat
from pipeline.errors import UnreadableError, UserError, plural, shown_first
from pipeline.signals.csv_series import TimeSeries, as_array, read_csv_series
from pipeline.signals.missing import equal_steps, filled, regular
from pipeline.signals.resample import resample
from pipeline.signals.windows import cut, fit_length

_MAX_RATIO = 1000  # of sampling rates
_MAX_VALUES = 2**28  # of a resampled series: 1 GiB


def complete(series: TimeSeries, rate: float | None, missing: str, name: str) -> NDArray[np.float32]:
    """Return the values of a series at equal time steps, without gaps.

    Args:
        series: The series as it is in its file.
        rate: Sampling rate in Hz to convert to; None: keep that of the series.
        missing: Action on missing values and time steps: error | interpolate.
        name: Name of the series in messages.

    Returns:
        (time, channels) values.

    Raises:
        UnreadableError: A value or a time step is missing, a value is infinite, or the sampling rate is unknown or too
            different from `rate`.
    """
    values = series.values
    if series.times is not None:
        values, found = regular(values, series.times, missing, name)
        values = filled(values, missing, name)
        return values if rate is None else _resampled(values, found, rate, name)
    if rate is not None:
        raise UnreadableError(
            f"{name}: must have a column of time stamps to be resampled to {rate:g} Hz (data.series.rate), got none; "
            "set data.series.time_column, or data.series.rate: null"
        )
    return filled(values, missing, name)


def time_step(series: TimeSeries) -> float | None:
    """The median time step of a series in seconds; None: it has no two time stamps."""
    if series.times is None or len(series.times) < 2:
        return None
    return float(np.median(np.diff(series.times)))


def _resampled(values: NDArray[np.float32], found: float, rate: float, name: str) -> NDArray[np.float32]:
    """Resample a series, unless the filter or the result would be huge."""
    if not 1 / _MAX_RATIO <= rate / found <= _MAX_RATIO or values.size * rate / found > _MAX_VALUES:
        raise UnreadableError(
            f"{name}: data.series.rate must be from 1/{_MAX_RATIO} to {_MAX_RATIO} times the sampling rate of the "
            f"series and give at most {_MAX_VALUES:,} values, got {rate:g} Hz for {found:g} Hz and {values.size:,} "
            "values; change data.series.rate, or correct the time stamps, which must be in seconds"
        )
    return resample(values, found, rate)


def to_inputs(values: NDArray[np.float32], form: SeriesFormat, name: str) -> NDArray[np.float32]:
    """Convert a series to inputs.

    Args:
        values: (time, channels) values.
        form: The format of the network's inputs.
        name: Name of the series in messages.

    Returns:
        (inputs, window, channels) values: one input, or one for each window.

    Raises:
        UnreadableError: The series has another number of channels.
        UserError: The series has another length, and `form.lengths` does not convert it.
    """
    if values.shape[1] != form.channels:
        raise UnreadableError(
            f"{name}: must have {form.channels} {plural(form.channels, 'channel')} like the training series, got "
            f"{values.shape[1]}; add or remove channels"
        )
    if form.hop is None or len(values) < form.window:
        return fit_length(values, form.window, form.lengths, name)[np.newaxis]
    return cut(values, form.window, form.hop)


def read_series_inputs(source: Path | bytes, name: str, form: SeriesFormat) -> tuple[NDArray[Any], dict[str, str]]:
    """Read a CSV file as inputs, in the same way as during training.

    Args:
        source: Path or content of the file.
        name: Name of the file in messages.
        form: The format of the network's inputs.

    Returns:
        (inputs, window, channels) float32 values, and remarks about the file by topic. The prediction for the series
        is the mean of those for its inputs.

    Raises:
        UnreadableError: The file cannot be read, or does not fit the format: its channels have other names or another
            order, or its time steps another length.
        UserError: The series has another length, and `form.lengths` does not convert it.
    """
    series = read_csv_series(source, name, form.time_column)
    if form.names and series.channels and series.channels != form.names:
        raise UnreadableError(
            f"{name}: must have the columns of the training series in the same order, {shown_first(form.names)}, got "
            f"{shown_first(series.channels)}; correct the file"
        )
    step = time_step(series)
    if form.rate is None and form.step is not None and step is not None and not equal_steps(step, form.step):
        raise UnreadableError(
            f"{name}: must have time steps of about {form.step:g} s like the training series, got {step:g} s; resample "
            "the file, correct its time stamps, or train with data.series.rate"
        )
    with _settings_of_the_network():
        return to_inputs(complete(series, form.rate, form.missing, name), form, name), unchecked(series, form)


def unchecked(series: TimeSeries, form: SeriesFormat) -> dict[str, str]:
    """Return what a file does not state and so cannot be compared with training, as remarks by topic."""
    remarks = {}
    if form.names and not series.channels:
        remarks["names"] = (
            f"has no column names, so the order of its columns is not checked; it must be that of training: "
            f"{shown_first(form.names)}"
        )
    if form.step is not None and form.rate is None and time_step(series) is None:
        remarks["step"] = (
            f"has no time stamps, so its time step is not checked; it must be about {form.step:g} s, as in training"
        )
    return remarks


def inputs_of_lists(values: Any, name: str, form: SeriesFormat) -> NDArray[np.float32]:
    """Convert nested lists to inputs. A list of numbers is a series with one channel.

    Args:
        values: (time, channels) or (time,) numbers.
        name: Name of the series in messages.
        form: The format of the network's inputs.

    Raises:
        UserError: The lists are not a series that fits the format.
    """
    with _settings_of_the_network():
        return to_inputs(filled(as_array(values, name), form.missing, name), form, name)


@contextmanager
def _settings_of_the_network() -> Iterator[None]:
    """Replace remedies that are settings: those of a trained network travel with it and cannot be changed."""
    try:
        yield
    except UserError as error:
        rule, _, remedy = str(error).rpartition("; ")
        if "data.series." not in remedy:
            raise
        raise type(error)(
            f"{rule}; correct the input, or train the network with other settings of data.series"
        ) from None
