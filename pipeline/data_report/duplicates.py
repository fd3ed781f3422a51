"""Report duplicates and label conflicts."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from pipeline.checks.duplicates import across_splits, conflicting
from pipeline.checks.measurements import Measurements
from pipeline.data_report.pictures import Samples, album
from pipeline.data_report.section import section
from pipeline.pages.tables import Cell, Column, table
from pipeline.report.builder import ReportBuilder

_LISTED, _SHOWN = 50, 12  # groups in a table, in a picture


def add_duplicate_section(report: ReportBuilder, measured: Measurements, samples: Samples) -> None:
    """Add identical samples, near duplicates and label conflicts.

    Args:
        report: Report to extend.
        measured: Results of the checks.
        samples: The samples, and how they are drawn.
    """
    pairs = list(measured.near)
    correlation = dict(zip(map(tuple, measured.near.tolist()), measured.near_correlation.tolist(), strict=True))
    exact, near = _important(measured, measured.identical), _important(measured, pairs)
    conflicts = len(conflicting(measured.identical, measured.labels)) + len(conflicting(pairs, measured.labels))
    report.sections.append(
        section(
            "duplicates",
            "Duplicates",
            "duplicates",
            exact=len(exact),
            exact_across=len(across_splits(exact, measured.splits)),
            near=len(near),
            near_across=len(across_splits(near, measured.splits)),
            conflicts=conflicts,
            exact_table=_table(measured, exact, "Groups of identical samples", {}),
            near_table=_table(measured, near, "Pairs of near duplicates", correlation),
            exact_picture=_picture(report, measured, exact, "exact_duplicates", samples),
            near_picture=_picture(report, measured, near, "near_duplicates", samples),
        )
    )


def _important(measured: Measurements, groups: Sequence[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """Groups with several classes first, then those across splits."""

    def unimportance(group: NDArray[np.int64]) -> tuple[bool, bool, int]:
        one_class = len(np.unique(measured.labels[group])) == 1
        return one_class, len(np.unique(measured.splits[group])) == 1, int(group[0])

    return sorted(groups, key=unimportance)


def _table(
    measured: Measurements,
    groups: Sequence[NDArray[np.int64]],
    title: str,
    correlation: dict[tuple[int, ...], float],
) -> Markup:
    if not groups:
        return Markup()
    rows: list[list[str | Cell]] = []
    for group in groups[:_LISTED]:
        indices = group.tolist()
        classes = list(dict.fromkeys(measured.class_name(index) for index in indices))
        splits = list(dict.fromkeys(measured.place(index)[0] for index in indices))
        first, *others = (measured.name(index) for index in indices)
        more = f" and {len(others) - 3:,} more" if len(others) > 3 else ""
        value = correlation.get(tuple(indices), 1.0)
        rows.append(
            [
                first,
                Cell(", ".join(others[:3]) + more, kind="words"),
                Cell(", ".join(splits), kind="failed" if len(splits) > 1 else ""),
                Cell(", ".join(classes), kind="failed" if len(classes) > 1 else ""),
                *([Cell(f"{value:.4f}", value)] if correlation else [Cell(f"{len(indices):,}", len(indices))]),
            ]
        )
    last = Column("correlation", number=True) if correlation else Column("samples", number=True)
    columns = [Column("sample"), Column("same content"), Column("splits"), Column("classes"), last]
    more = f"; duplicates.csv lists all {len(groups):,}" if len(groups) > _LISTED else ""
    return table(f"{title}{more}", columns, rows, sortable=True)


def _picture(
    report: ReportBuilder, measured: Measurements, groups: Sequence[NDArray[np.int64]], name: str, samples: Samples
) -> Markup:
    """The first two samples of each group, next to each other."""
    if not groups:
        return Markup()
    shown = [int(index) for group in groups[:_SHOWN] for index in group[:2]]
    caption = f"The first {len(shown) // 2} of {len(groups):,}, two samples of each next to each other."
    return album(report, measured, name, shown, caption, samples)
