"""Read a time series from a CSV file: a row per time step, a column per channel."""

import csv
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UnreadableError, shown_first
from pipeline.file_content import content_of

_MAX_BYTES = 2**30
_SEPARATORS = "\t;,"
_TIME_COLUMNS = ("time", "timestamp")
_MISSING = ("", "?", "na", "nan", "null", "none")


@dataclass(frozen=True)
class TimeSeries:
    """A time series as it is in its file.

    Attributes:
        values: (time, channels) float32 values; NaN: missing.
        times: (time,) time stamps in seconds; NaN: missing; None: the file has none.
        channels: Names of the channels; empty if the file has none.
    """

    values: NDArray[np.float32]
    times: NDArray[np.float64] | None = None
    channels: tuple[str, ...] = ()


def read_csv_series(source: Path | bytes, name: str, time_column: str | None) -> TimeSeries:
    """Read a series. Columns are separated by tabs, semicolons, commas or spaces; the first line may contain names.

    Empty fields, `?`, `NaN`, `NA`, `null` and `none` are missing values.

    Args:
        source: Path or content of the file, in UTF-8.
        name: Name of the file in messages.
        time_column: Name of the column of time stamps: seconds, or dates such as 2026-01-31T12:00:00. None: a column
            named time or timestamp, if there is one.

    Raises:
        UnreadableError: The file cannot be read, has no rows, rows of different lengths, fields that are not numbers,
            or no such time column. The message names the line.
    """
    text = _text(content_of(source, name, "a CSV file", _MAX_BYTES), name)
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if not lines:
        raise UnreadableError(f"{name}: must contain rows of numbers, got only empty lines")
    separator = max(_SEPARATORS, key=lines[0][1].count)
    if separator not in lines[0][1]:
        separator = " "
    rows = list(csv.reader((line.strip() for _, line in lines), delimiter=separator, skipinitialspace=True))
    header = tuple(field.strip() for field in rows[0])
    if any(_number(field) is not None for field in header):
        header = ()
    else:
        rows, lines = rows[1:], lines[1:]
    if not rows:
        raise UnreadableError(f"{name}: must contain rows of numbers, got only a line of names")
    columns = len(header or rows[0])
    for (number, _), row in zip(lines, rows, strict=True):
        if len(row) != columns:
            raise UnreadableError(
                f"{name}: all lines must have {columns} fields, got {len(row)} in line {number}; repair the file"
            )
    place = _time_place(header, time_column, name)
    numbers = [number for number, _ in lines]
    kept = [column for column in range(columns) if column != place]
    if not kept:
        raise UnreadableError(f"{name}: must have a column of values next to the time stamps, got none")
    values = np.stack([_column(rows, column, numbers, name) for column in kept], axis=1)
    times = None if place is None else np.array([_time(row[place]) for row in rows], np.float64)
    return TimeSeries(values, times, tuple(header[column] for column in kept) if header else ())


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(
            f"{name}: must be a CSV file in UTF-8, got other bytes at position {error.start}; convert it"
        ) from None


def _time_place(header: tuple[str, ...], time_column: str | None, name: str) -> int | None:
    """Index of the column of time stamps; None: there is none."""
    wanted = _TIME_COLUMNS if time_column is None else (time_column.lower(),)
    for place, column in enumerate(header):
        if column.lower() in wanted:
            return place
    if time_column is None:
        return None
    found = f"the columns {shown_first(header)}" if header else "no line of names"
    raise UnreadableError(
        f"{name}: must have a column named {time_column!r} (data.series.time_column), got {found}; "
        "rename a column, or set data.series.time_column: null"
    )


def _column(rows: list[list[str]], column: int, numbers: list[int], name: str) -> NDArray[np.float32]:
    fields = [row[column] for row in rows]
    try:
        return np.array(fields, np.float32)
    except ValueError:  # a missing value, or no number
        pass
    values = np.empty(len(fields), np.float32)
    for place, field in enumerate(fields):
        value = _number(field)
        if value is None:
            raise UnreadableError(
                f"{name}: fields must be numbers, got {field[:40]!r} in line {numbers[place]}, column {column + 1}; "
                "repair the file, or give the columns names in the first line"
            )
        values[place] = value
    return values


def _number(field: str) -> float | None:
    """The value of a field, NaN if it is missing, and None if it is not a number."""
    field = field.strip()
    if field.lower() in _MISSING:
        return float("nan")
    try:
        return float(field)
    except ValueError:
        return None


def _time(field: str) -> float:
    """A time stamp in seconds; NaN if it is missing or not valid."""
    number = _number(field)
    if number is not None:
        return number
    try:
        return datetime.fromisoformat(field.strip()).timestamp()
    except ValueError:
        return float("nan")


def as_array(values: Any, name: str) -> NDArray[np.float32]:
    """Convert nested lists to a series of shape (time, channels); a flat list has one channel.

    Raises:
        UnreadableError: The lists are ragged, empty, or contain something that is not a number.
    """
    try:
        array = np.asarray(values, np.float32)
    except (TypeError, ValueError, OverflowError):
        raise UnreadableError(f"{name}: must be lists of numbers of equal lengths; correct them") from None
    if array.ndim == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2 or 0 in array.shape:
        raise UnreadableError(f"{name}: must have shape (time, channels), got {array.shape}; reshape it")
    return array
