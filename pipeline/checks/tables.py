"""Write the results of the checks as files: metrics, duplicates and outliers."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

from pipeline.checks.duplicates import across_splits
from pipeline.checks.findings import Finding
from pipeline.checks.measurements import Measurements
from pipeline.sections.data import FindingId

# The metrics of metrics.json. With all metrics, a table of experiments would be too wide to read.
COMPARED = ("samples", "findings", "exact_duplicates", "near_duplicates", "label_conflicts")


def write_tables(measured: Measurements, found: Sequence[Finding], folder: Path) -> None:
    """Write metrics.json, which DVC shows, details.json with all other numbers, duplicates.csv and outliers.csv.

    Args:
        measured: Results of the checks.
        found: The findings.
        folder: Folder to write to.
    """
    metrics = _metrics(measured, found)
    for file, compared in (("metrics.json", True), ("details.json", False)):
        figures = {name: value for name, value in metrics.items() if (name in COMPARED) == compared}
        (folder / file).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    _write(
        folder / "duplicates.csv", ("kind", "group", "sample", "split", "class", "correlation"), _duplicates(measured)
    )
    _write(
        folder / "outliers.csv",
        ("sample", "split", "class", "statistic", "value", "robust_z"),
        (
            (*_sample(measured, each.index), each.statistic, f"{each.value:.6g}", f"{each.z:.3f}")
            for each in measured.outliers
        ),
    )


def _metrics(measured: Measurements, found: Sequence[Finding]) -> dict[str, float]:
    counts = measured.counts()
    number = {finding.id: finding.count for finding in found}
    neighbours = measured.collected.neighbours
    return {
        "samples": len(measured.labels),
        "findings": len(found),
        **{split: int(of_class.sum()) for split, of_class in counts.items()},
        "classes": len(measured.facts.classes),
        "class_ratio": _rounded(counts["train"].max() / max(1, counts["train"].min())),
        **{name: number.get(name, 0) for name in get_args(FindingId)},
        "exact_duplicates_across_splits": len(across_splits(measured.identical, measured.splits)),
        "near_duplicates_across_splits": len(across_splits(list(measured.near), measured.splits)),
        **{f"drift_{test.split}_{test.what}": _rounded(test.distance) for test in measured.drift},
        **(
            {}
            if neighbours is None
            else {
                **{
                    f"neighbour_correlation_{axis}": _rounded(value)
                    for axis, value in enumerate(neighbours.neighbours)
                    if value == value  # not nan
                },
                "random_correlation": _rounded(neighbours.random),
            }
        ),
    }


def _duplicates(measured: Measurements) -> Iterable[tuple[Any, ...]]:
    for number, group in enumerate(measured.identical, 1):
        for index in group.tolist():
            yield "exact", number, *_sample(measured, index), 1
    for number, (pair, correlation) in enumerate(
        zip(measured.near.tolist(), measured.near_correlation, strict=True), 1
    ):
        for index in pair:
            yield "near", number, *_sample(measured, index), f"{correlation:.6f}"


def _sample(measured: Measurements, index: int) -> tuple[str, str, str]:
    return measured.name(index), measured.place(index)[0], measured.class_name(index)


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
