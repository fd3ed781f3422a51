"""Read a `.ts` file, the text format of the time-series classification archives (timeseriesclassification.com).

A header of lines `@key value` ends with `@data`. Then each line is a case: channels separated by colons, values within
a channel by commas, and the class after the last colon. `?` is a missing value; lines that start with `#` or `%` are
comments.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays.float32 import as_float32
from pipeline.errors import UserError, shown_first
from pipeline.file_content import open_file
from pipeline.text.text_lines import text_lines, utf8_text

_MAX_BYTES = 2**30  # all cases are in memory
_MAX_CHARACTERS = 2**24  # of a line
_KEYS = (
    "problemname", "timestamps", "missing", "univariate", "dimension", "dimensions", "equallength", "serieslength",
    "classlabel", "targetlabel",
)  # fmt: skip


@dataclass(frozen=True)
class TsFile:
    """The cases of a `.ts` file.

    Attributes:
        name: Name of the problem; empty if the file does not name it.
        classes: Names of the classes, in the order of the header.
        cases: (time, channels) float32 values of each case; NaN: missing. Lengths may differ.
        labels: (cases,) indices into `classes`.
        lines: Number of the line of each case.
    """

    name: str
    classes: tuple[str, ...]
    cases: tuple[NDArray[np.float32], ...]
    labels: NDArray[np.int64]
    lines: tuple[int, ...]


def read_ts(path: Path) -> TsFile:
    """Read a `.ts` file.

    Raises:
        UserError: The file is missing or cannot be read, has time stamps or targets that are not classes, or
            contradicts its header. The message names the line.
    """
    where = f"data.source: ts:{path}"
    header: dict[str, str] = {}
    cases: list[NDArray[np.float32]] = []
    labels: list[int] = []
    lines: list[int] = []
    classes: dict[str, int] | None = None  # None: before @data
    remedy = "shorten the series, or save them as arrays and use data.source: npz:PATH"
    with open_file(path, where, "a .ts file", _MAX_BYTES) as file:
        text = utf8_text(file)
        for number, line in text_lines(text, where, "a .ts file", _MAX_CHARACTERS, remedy):
            line = line.strip()
            if line.startswith(("#", "%")):
                continue
            if classes is not None:
                case, label = _case(line, classes, f"{where}: line {number}")
                _require_declared(case, cases[0] if cases else case, header, f"{where}: line {number}")
                cases.append(case)
                labels.append(label)
                lines.append(number)
            elif line.lower() == "@data":
                classes = {name: place for place, name in enumerate(_classes(header, where))}
            else:
                key, value = _entry(line, f"{where}: line {number}")
                header[key] = value
        text.detach()  # else the file would be closed with it
    if classes is None or not cases:
        found = "no line @data" if classes is None else "none after @data"
        raise UserError(f"{where}: must contain cases, got {found}; the file is truncated or not a .ts file")
    return TsFile(header.get("problemname", ""), tuple(classes), tuple(cases), np.array(labels, np.int64), tuple(lines))


def _entry(line: str, where: str) -> tuple[str, str]:
    key, _, value = line.removeprefix("@").partition(" ")
    if not line.startswith("@") or key.lower() not in _KEYS:
        raise UserError(
            f"{where}: must be an entry of the header such as @problemName or @data, got {line[:40]!r}; "
            "pass a .ts file of the time-series archives"
        )
    return key.lower(), value.strip()


def _classes(header: dict[str, str], where: str) -> tuple[str, ...]:
    """Names of the classes; also reject what is in the header and cannot be read."""
    if header.get("timestamps", "false").lower() == "true":
        raise UserError(
            f"{where}: @timeStamps must be false, got true; write a CSV file per series with a time column, and use "
            "data.source: series:FOLDER"
        )
    given, *names = header.get("classlabel", "").split() or ["no @classLabel"]
    if given.lower() != "true":
        raise UserError(
            f"{where}: @classLabel must be true, followed by the names of the classes, got {given}; "
            "files with other targets cannot be classified"
        )
    if len(names) < 2 or len(set(names)) < len(names):
        raise UserError(
            f"{where}: @classLabel must be followed by at least two different names, got {shown_first(names) or 'none'}"
        )
    return tuple(names)


def _case(line: str, classes: dict[str, int], where: str) -> tuple[NDArray[np.float32], int]:
    *channels, name = line.split(":")
    if not channels:
        raise UserError(f"{where}: must be values, a colon and a class, got no colon; the line is truncated")
    if name.strip() not in classes:
        raise UserError(
            f"{where}: class must be one of {shown_first(list(classes))} (@classLabel), got {name.strip()[:40]!r}; "
            "correct the line or the header"
        )
    rows = [_values(text, f"{where}: channel {number}") for number, text in enumerate(channels)]
    found = sorted({len(row) for row in rows})
    if len(found) > 1:
        raise UserError(
            f"{where}: all channels of a case must have the same length, got {found[0]} to {found[-1]}; repair the line"
        )
    return np.stack(rows, axis=1), classes[name.strip()]


def _values(text: str, where: str) -> NDArray[np.float32]:
    fields = text.split(",")
    try:
        if "?" in text:
            numbers = np.array([field if field.strip() != "?" else "nan" for field in fields], np.float64)
        else:
            numbers = np.array(fields, np.float64)
    except ValueError:
        place = next(number for number, field in enumerate(fields) if not _is_number(field))
        raise UserError(
            f"{where}: values must be numbers or ?, got {fields[place].strip()[:40]!r} at time step {place}; "
            "repair the line"
        ) from None
    return as_float32(numbers, where)


def _is_number(field: str) -> bool:
    try:
        float("nan" if field.strip() == "?" else field)
    except ValueError:
        return False
    return True


def _require_declared(
    case: NDArray[np.float32], first: NDArray[np.float32], header: dict[str, str], where: str
) -> None:
    """Raise an error if a case contradicts the header or the first case, as in a truncated or edited file."""
    length, channels = case.shape
    if channels != first.shape[1]:
        raise UserError(
            f"{where}: must have {first.shape[1]} channels like the first case, got {channels}; repair the file"
        )
    declared = header.get("dimensions", header.get("dimension"))
    if header.get("univariate", "").lower() == "true" and channels > 1:
        raise UserError(f"{where}: @univariate is true, got {channels} channels; correct the header")
    if declared is not None and declared != str(channels):
        raise UserError(f"{where}: @dimensions is {declared[:40]}, got {channels} channels; correct the header")
    if header.get("equallength", "").lower() == "true":
        given = header.get("serieslength", "")
        if given and not re.fullmatch("[0-9]{1,12}", given):
            raise UserError(
                f"{where}: @seriesLength must be a whole number, got {given[:40]!r}; correct or remove the line"
            )
        wanted = int(given) if given else len(first)
        if length != wanted:
            raise UserError(
                f"{where}: must have {wanted} time steps (@equalLength is true), got {length}; the line is truncated, "
                "or @equalLength must be false"
            )
