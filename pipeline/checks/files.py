"""Summarize and list what became of the files of a source."""

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.data.split import SplitName
from pipeline.decoding.file_record import FileRecord

_NUMBER = re.compile(r" \(\d+\)$")
COLUMNS = ("file", "split", "class", "status", "size", "mode", "format", "converted", "reason")


@dataclass(frozen=True)
class FileSummary:
    """Counts over the files of a source.

    Attributes:
        status: Number of files that were used, skipped and limited.
        modes: Number of used files of each mode, the most frequent first.
        formats: Number of used files of each format, the most frequent first.
        sizes: Number of used files of each size, the most frequent first.
        converted: Number of used files that each conversion was applied to.
        resized: Number of used files that were resized.
        skipped: The files that were skipped.
    """

    status: Mapping[str, int]
    modes: Mapping[str, int]
    formats: Mapping[str, int]
    sizes: Mapping[tuple[int, ...], int]
    converted: Mapping[str, int]
    resized: int
    skipped: tuple[FileRecord, ...]


def with_split(records: Sequence[FileRecord], names: Mapping[SplitName, Sequence[str]]) -> list[tuple[FileRecord, str]]:
    """Return the records with the split of each, and with the status `limited` if a readable file is in no split.

    Args:
        records: What became of each file when it was read.
        names: Names of the samples of each split: those of their files, with a number if a file has several samples,
            which may be in several splits.
    """
    splits: dict[str, list[str]] = {record.file: [] for record in records}
    for split, listed in names.items():
        for name in listed:
            placed = splits.get(name) if name in splits else splits.get(_NUMBER.sub("", name))
            if placed is not None and split not in placed:
                placed.append(split)
    found = []
    for record in records:
        shown = ", ".join(splits[record.file])
        left_out = record.status == "used" and not shown
        found.append((replace(record, status="limited") if left_out else record, shown))
    return found


def summarize_files(records: Sequence[tuple[FileRecord, str]]) -> FileSummary:
    """Count the files by status, mode, format, size and conversion.

    Args:
        records: The files with their splits.
    """
    used = [record for record, _ in records if record.status == "used"]
    return FileSummary(
        status=dict(Counter(record.status for record, _ in records).most_common()),
        modes=_counted([record.mode for record in used if record.mode]),
        formats=_counted([record.format for record in used if record.format]),
        sizes=dict(sorted(Counter(record.size for record in used if record.size).items(), key=lambda item: -item[1])),
        converted=_counted([what for record in used for what in record.converted]),
        resized=sum(any(what.startswith("resized") for what in record.converted) for record in used),
        skipped=tuple(record for record, _ in records if record.status == "skipped"),
    )


def write_files(records: Sequence[tuple[FileRecord, str]], path: Path) -> None:
    """Write files.csv with a row per file; with a column of weights, if there are any.

    Args:
        records: The files with their splits.
        path: File to write.
    """
    weighted = any(record.weight is not None for record, _ in records)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*COLUMNS, "weight") if weighted else COLUMNS)
        for record, split in records:
            size, converted = size_text(record.size), "; ".join(record.converted)
            row = (
                record.file, split, record.class_name, record.status, size, record.mode, record.format, converted,
                record.reason,
            )  # fmt: skip
            writer.writerow((*row, record.weight) if weighted else row)


def size_text(size: Sequence[int]) -> str:
    """Return extents as text, such as 500×375."""
    return "×".join(map(str, size))


def _counted(values: Sequence[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))
