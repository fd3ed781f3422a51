"""A manifest: a table that lists files with their class and, if wanted, their split, group and weight.

Its columns are `path`, `label`, and optionally `split` (train, val or test), `group` and `weight` (a positive number).
The table is a CSV file in UTF-8 or a Parquet file. Paths are relative to the manifest's folder, absolute, or
addresses that fsspec opens, such as `s3://bucket/key`, except chained ones (`zip://…::s3://…`).
"""

import csv
import io
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

from pipeline.arrays.size import amount
from pipeline.errors import UnreadableError, UserError, listed_first, message_of, shown_first
from pipeline.file_content import content_of
from pipeline.images.file_names import existing, printable
from pipeline.listing.entry import SPLITS, FileEntry, Listing
from pipeline.redaction import redact_addresses

SUFFIXES = (".csv", ".parquet")
_REQUIRED, _OPTIONAL = ("path", "label"), ("split", "group", "weight")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://")
_MAX_BYTES, _MAX_ROWS = 2**30, 10_000_000
_LEAST, _GREATEST = (float(each) for each in (np.finfo(np.float32).tiny, np.finfo(np.float32).max))  # weights
_HEADER = 1  # lines above the first row of a CSV file


def read_manifest(path: Path, where: str) -> Listing:
    """Read a manifest, and check that the files on this machine exist.

    Args:
        path: The CSV or Parquet file.
        where: The source, in messages.

    Raises:
        UserError: The manifest is missing or damaged, lacks a column, has an unknown one or invalid rows, or names
            files that do not exist; up to 20 of them are listed.
    """
    columns = _read(path, where)
    if not {*_REQUIRED} <= {*columns} <= {*_REQUIRED, *_OPTIONAL}:
        found = ", ".join(map(printable, columns)) or "none"
        if "path" not in columns and len(columns) > len(_REQUIRED):
            raise UserError(
                f"{where}: must have a column path that names files, got {found}; if it is a table of features, their "
                "order has no meaning, on which convolutions rely: use a method for tables, such as gradient-boosted "
                "trees"
            )
        raise UserError(
            f"{where}: must have the columns path and label, and may have split, group and weight, got {found}; "
            "rename or remove the others"
        )
    rows = len(columns["path"])
    if not rows:
        raise UserError(f"{where}: must have rows, got only a header; add a row for each file")
    _require(where, columns["path"], bool, "must name a file in each row", "fill in the path")
    _require(where, columns["label"], bool, "must have a label in each row", "fill in the label")
    splits = columns.get("split", ["train"] * rows)
    _require(where, splits, SPLITS.__contains__, "split must be train, val or test", "correct the split")
    weights = columns.get("weight")
    if weights is not None:
        rule, remedy = "weight must be a positive number in each row", "correct it, or remove the row"
        _require(where, weights, _is_weight, rule, remedy)
    files = [_file(given, path.parent, where) for given in columns["path"]]
    _check_files(where, files, columns["label"])
    labels = [printable(label) for label in columns["label"]]
    classes = tuple(sorted(set(labels)))
    index = {name: number for number, name in enumerate(classes)}
    groups = columns.get("group", [""] * rows)
    numbers = [None] * rows if weights is None else map(float, weights)
    entries = tuple(
        FileEntry(split, index[label], file, _shown(given), printable(group), weight)
        for split, label, file, given, group, weight in zip(
            splits, labels, files, columns["path"], groups, numbers, strict=True
        )
    )
    own = tuple(split for split in SPLITS if split in set(splits))
    if "train" not in own:
        raise UserError(f"{where}: must have rows of the split train, got only {', '.join(own)}; correct the split")
    if len(classes) < 2:
        raise UserError(f"{where}: must have at least two labels, got only {classes[0]!r}; add files of another class")
    return Listing(printable(path.stem), where, classes, own, entries, _elsewhere(files, path.parent))


def _shown(given: str) -> str:
    return printable(redact_addresses(given))


def _read(path: Path, where: str) -> dict[str, list[str]]:
    """The columns of the table, as text."""
    read = _read_parquet if path.suffix.lower() == ".parquet" else _read_csv
    if not os.path.exists(path):
        raise UserError(f"{where}: no such file; pass a folder, or a manifest as CSV or Parquet file")
    try:
        content = b"" if path.is_file() and not path.stat().st_size else content_of(path, where, "a table", _MAX_BYTES)
    except UnreadableError as error:
        raise UserError(f"{error}; pass a CSV or Parquet file") from None
    try:
        columns = read(content)
    except Exception as error:  # the parsers raise exceptions of many kinds
        raise UserError(
            f"{where}: must be a readable {path.suffix[1:].upper()} table: {message_of(error)}; correct the file"
        ) from None
    return columns


def _read_csv(content: bytes) -> dict[str, list[str]]:
    with io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="") as file:
        lines = (row for row in csv.reader(file, strict=True) if row)
        names = [name.strip() for name in next(lines, [])]
        if len(set(names)) < len(names):
            raise ValueError(f"column names must be unique, got {', '.join(names)}")
        columns: dict[str, list[str]] = {name: [] for name in names}
        for number, row in enumerate(lines, 1 + _HEADER):
            if number > _MAX_ROWS + _HEADER:
                raise ValueError(f"it must have at most {_MAX_ROWS:,} rows, got more")
            if len(row) != len(names):
                raise ValueError(f"each row must have {len(names)} values, got {len(row)} in row {number}")
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value.strip())
    return columns


def _read_parquet(content: bytes) -> dict[str, list[str]]:
    """Read the columns. Texts stay in dictionaries, as they are stored, until their decoded size is known."""
    from pyarrow import parquet, types  # type: ignore[import-untyped]  # it has no types

    metadata = parquet.read_metadata(io.BytesIO(content))
    if metadata.num_rows > _MAX_ROWS:
        raise ValueError(f"it must have at most {_MAX_ROWS:,} rows, got {metadata.num_rows:,}")
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    _check_size(
        sum(group.column(place).total_uncompressed_size for group in groups for place in range(group.num_columns))
    )
    fields = metadata.schema.to_arrow_schema()
    for field in fields:
        if types.is_nested(field.type) or types.is_fixed_size_binary(field.type):
            raise ValueError(f"columns must contain texts or numbers, got {field.type} in {field.name}")
    table = parquet.ParquetFile(io.BytesIO(content), read_dictionary=fields.names).read()
    _check_size(sum(_text_bytes(chunk) for column in table.columns for chunk in column.chunks))
    columns = table.to_pydict()
    return {name: ["" if each is None else str(each).strip() for each in column] for name, column in columns.items()}


def _text_bytes(chunk: Any) -> int:
    """The number of bytes of the texts in an array of pyarrow; 0 if it contains numbers."""
    from pyarrow import compute, types

    if not types.is_dictionary(chunk.type):
        return 0
    return int(compute.sum(compute.binary_length(chunk.dictionary).take(chunk.indices)).as_py() or 0)


def _check_size(decoded: int) -> None:
    if decoded > _MAX_BYTES:
        raise ValueError(f"it must have at most {amount(_MAX_BYTES)} after decompression, got {amount(decoded)}")


def _require(where: str, values: Sequence[str], valid: Callable[[str], object], rule: str, remedy: str) -> None:
    """Raise an error that names the rows whose value is not valid."""
    wrong = [f"{value!r} in row {number}" for number, value in enumerate(values, 1 + _HEADER) if not valid(value)]
    if wrong:
        raise UserError(f"{where}: {rule}, got {shown_first([printable(each) for each in wrong])}; {remedy}")


def _is_weight(text: str) -> bool:
    """Whether a text is a positive number that float32 can hold."""
    try:
        return _LEAST <= float(text) <= _GREATEST
    except ValueError:
        return False


def _file(given: str, folder: Path, where: str) -> Path | str:
    """The path or address of a file; an address of this machine, `file://`, is a path."""
    if "::" in given and "://" in given:
        raise UserError(
            f"{where}: addresses must not be chained with ::, got {_shown(given)}; unpack the archive, and list its "
            "files"
        )
    if given.lower().startswith(("file://", "local://")):
        address = urlsplit(given)
        if address.netloc or not os.path.isabs(address.path):
            raise UserError(
                f"{where}: addresses of files on this machine must be absolute, such as file:///data/a.png, got "
                f"{_shown(given)}; use an absolute address, or a path without {address.scheme}://"
            )
        given = unquote(address.path)
    if _ADDRESS.match(given):
        return given
    if not os.path.isabs(given) and os.path.normpath(given).split(os.sep)[0] == os.pardir:
        raise UserError(
            f"{where}: relative paths must stay in the manifest's folder, got {_shown(given)}; move the "
            "manifest, or use an absolute path"
        )
    return existing(folder / given)


def _elsewhere(files: Sequence[Path | str], folder: Path) -> tuple[str, ...]:
    """Folders of the files that are not below a folder, and of addresses."""
    real = folder.resolve()
    parents = dict.fromkeys(
        file.parent if isinstance(file, Path) else redact_addresses(file).rpartition("/")[0] for file in files
    )
    return tuple(
        printable(str(parent))
        for parent in parents
        if not isinstance(parent, Path) or not parent.resolve().is_relative_to(real)
    )


def _check_files(where: str, files: Sequence[Path | str], labels: Sequence[str]) -> None:
    """Raise an error if local files are missing, or if a file is listed twice."""
    missing = [printable(str(file)) for file in files if isinstance(file, Path) and not os.path.lexists(file)]
    if missing:
        raise UserError(
            f"{where}: {len(missing)} of {len(files)} files do not exist:\n{listed_first(missing)}\n"
            "  correct the paths, or remove the rows"
        )
    seen: dict[str, str] = {}
    for file, label in zip(files, labels, strict=True):
        name = os.path.abspath(file) if isinstance(file, Path) else file
        if name in seen:
            also = f" with the labels {seen[name]!r} and {label!r}" if seen[name] != label else ""
            raise UserError(f"{where}: must list each file once, got {_shown(name)} twice{also}; remove a row")
        seen[name] = label
