"""Read a time series from a CSV file: a row per time step, a column per channel."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays.float32 import as_float32
from pipeline.errors import UnreadableError, shown_first
from pipeline.file_content import content_of
from pipeline.text.csv_rows import CsvRows

_MAX_BYTES = 2**28  # reading needs up to five times as much memory
_LATEST = 1e20  # largest time stamp; leaves room for nanoseconds
_LARGEST = float(np.finfo(np.float32).max)
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
        UnreadableError: The file cannot be read, has no rows, rows of different lengths, fields that are not numbers or
            exceed 32 bits, unnamed columns next to named ones, or no such time column. The message names the line.
    """
    content = content_of(source, name, "a CSV file", _MAX_BYTES)
    rows = CsvRows(content, name)
    header = _header(rows.first, name)
    columns = len(rows.first)
    place = _time_place(header, time_column, name)
    kept = [column for column in range(columns) if column != place]
    if not kept:
        raise UnreadableError(f"{name}: must have a column of values next to the time stamps, got none")
    values: list[NDArray[np.float32]] = []
    times: list[NDArray[np.float64]] = []
    for numbers, block in rows.blocks(with_first=not header):
        values.append(_values(block, kept, numbers, name))
        if place is not None:
            stamps = [_time(row[place], number, name) for row, number in zip(block, numbers, strict=True)]
            times.append(np.array(stamps, np.float64))
    if not values:
        raise UnreadableError(f"{name}: must contain rows of numbers, got only a line of names")
    return TimeSeries(
        np.concatenate(values),
        np.concatenate(times) if times else None,
        tuple(header[column] for column in kept) if header else (),
    )


def _header(fields: Sequence[str], name: str) -> tuple[str, ...]:
    """Names of the columns; empty if the first row contains values.

    Raises:
        UnreadableError: Some columns have no name, or the row may be a header that numbers the columns.
    """
    names = [field for field in fields if _number(field) is None]
    counted = fields[1:] if fields[0] == "" else fields
    if len(counted) > 1 and all(field == str(place) for place, field in enumerate(counted)):
        raise UnreadableError(
            f"{name}: the first line must contain names or values, got {shown_first(counted)}, which may be numbers of "
            "columns; give the columns names (pandas: to_csv(index=False) after naming them), or, if they are values, "
            "write 0.0 instead of 0"
        )
    if not names or any(_is_value(field) for field in fields):
        return ()
    for place, field in enumerate(fields):
        if _number(field) is not None:
            raise UnreadableError(
                f"{name}: all columns must have names in the first line, got {field!r} for column {place + 1}; name it "
                "(time, if it contains time stamps), or, if it is an index, remove it (pandas: to_csv(index=False))"
            )
    return tuple(fields)


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


def _values(
    rows: Sequence[Sequence[str]], kept: Sequence[int], numbers: Sequence[int], name: str
) -> NDArray[np.float32]:
    """The kept columns of rows as numbers (rows, kept)."""
    fields = [[row[column] for column in kept] for row in rows]
    try:
        values = np.array(fields, np.float64)
    except ValueError:  # a missing value, or no number
        values = np.array(
            [
                [_value(field, number, column, name) for field, column in zip(row, kept, strict=True)]
                for row, number in zip(fields, numbers, strict=True)
            ],
            np.float64,
        )
    excessive = np.argwhere((np.abs(values) > _LARGEST) & np.isfinite(values))
    if len(excessive):
        row, column = excessive[0]
        raise UnreadableError(
            f"{name}: values must be from -{_LARGEST:.2g} to {_LARGEST:.2g} (32-bit floating-point numbers), got "
            f"{fields[row][column].strip()[:40]} in line {numbers[row]}, column {kept[column] + 1}; "
            "repair it, or divide all values by a constant"
        )
    return values.astype(np.float32)


def _value(field: str, line: int, column: int, name: str) -> float:
    value = _number(field)
    if value is None:
        raise UnreadableError(
            f"{name}: fields must be numbers, got {field[:40]!r} in line {line}, column {column + 1}; "
            "repair the file, or give the columns names in the first line"
        )
    return value


def _is_value(field: str) -> bool:
    """Whether a field is a number that is not missing."""
    number = _number(field)
    return number is not None and number == number


def _number(field: str) -> float | None:
    """The value of a field, NaN if it is missing, and None if it is not a number."""
    field = field.strip()
    if field.lower() in _MISSING:
        return float("nan")
    try:
        return float(field)
    except ValueError:
        return None


def _time(field: str, line: int, name: str) -> float:
    """A time stamp in seconds; NaN if it is missing. A date without a time zone is in UTC, on every machine.

    Raises:
        UnreadableError: The field is neither a number of at most 1e20 nor a date.
    """
    number = _number(field)
    if number is not None and not abs(number) > _LATEST:
        return number
    with suppress(ValueError):
        date = datetime.fromisoformat(field.strip())
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    raise UnreadableError(
        f"{name}: time stamps must be seconds or dates such as 2026-01-31T12:00:00, got {field.strip()[:40]!r} in line "
        f"{line}; repair it"
    )


def as_array(values: Any, name: str) -> NDArray[np.float32]:
    """Convert nested lists to a series of shape (time, channels); a flat list has one channel.

    Raises:
        UnreadableError: The lists are ragged, empty, or contain something that is not a number.
    """
    try:
        array = as_float32(np.asarray(values, np.float64), name)
    except (TypeError, ValueError, OverflowError):
        raise UnreadableError(f"{name}: must be lists of numbers of equal lengths; correct them") from None
    if array.ndim == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2 or 0 in array.shape:
        raise UnreadableError(f"{name}: must have shape (time, channels), got {array.shape}; reshape it")
    return array
