"""Report outliers, drift between the splits, groups, and whether the samples are grids."""

from collections import Counter

import numpy as np
from markupsafe import Markup

from pipeline.checks.distribution import MIN_DISTANCE, MIN_Z, SIGNIFICANCE
from pipeline.checks.measurements import Measurements
from pipeline.checks.statistics import DESCRIPTIONS
from pipeline.data_report.pictures import Samples, album
from pipeline.data_report.section import section
from pipeline.pages.tables import Cell, Column, table
from pipeline.plots.checks import draw_statistics
from pipeline.report.builder import ReportBuilder

_LISTED, _SHOWN = 50, 18


def add_group_section(report: ReportBuilder, measured: Measurements) -> None:
    """Add the number of groups in each split, if the source has groups.

    Args:
        report: Report to extend.
        measured: Results of the checks.
    """
    groups = {split: listed for split, listed in measured.facts.groups.items() if len(listed)}
    if not groups:
        return
    rows: list[list[str | Cell]] = []
    for split, listed in groups.items():
        sizes = Counter(listed)
        rows.append([split, f"{len(sizes):,}", f"{max(sizes.values()):,}", f"{len(listed) / len(sizes):.1f}"])
    columns = ["groups", "samples of the largest group", "samples per group"]
    leaks: list[list[str | Cell]] = [[group, ", ".join(where)] for group, where in measured.leaks.items()]
    leaking = table("Groups in several splits", [Column("group"), Column("splits")], leaks[:_LISTED])
    report.sections.append(
        section(
            "groups",
            "Groups",
            "groups",
            sizes=table("Groups", [Column("split"), *(Column(title, number=True) for title in columns)], rows),
            leaks=leaking if leaks else Markup(),
            count=len(leaks),
        )
    )


def add_distribution_section(report: ReportBuilder, measured: Measurements, samples: Samples) -> None:
    """Add the distributions of the statistics, the comparison of the splits, and the outliers.

    Args:
        report: Report to extend.
        measured: Results of the checks.
        samples: The samples, and how they are drawn.
    """
    rows: list[list[str | Cell]] = [
        [
            test.split,
            test.what,
            Cell(f"{test.distance:.3f}", test.distance),
            Cell(f"{test.p_value:.2g}", test.p_value),
            Cell("yes", kind="failed") if test.found else "no",
        ]
        for test in measured.drift
    ]
    columns = [
        Column("split"), Column("compared with train in"), Column("distance", number=True),
        Column("corrected p-value", number=True), Column("drift"),
    ]  # fmt: skip
    report.sections.append(
        section(
            "distribution",
            "Drift and outliers",
            "distribution",
            descriptions=DESCRIPTIONS,
            plot=report.plot(
                "statistics",
                draw_statistics(measured),
                "Distribution of the statistics of the samples in each split, without the most extreme 0.2%.",
            ),
            drift=table("Comparison with the training split", columns, rows),
            significance=f"{SIGNIFICANCE:.0%}",
            distance=MIN_DISTANCE,
            z=f"{MIN_Z:g}",
            outliers=_outliers(measured),
            picture=_picture(report, measured, samples),
            count=len(measured.outliers),
            constant=len(measured.constant),
        )
    )


def _outliers(measured: Measurements) -> Markup:
    rows: list[list[str | Cell]] = [
        [
            measured.name(each.index), measured.place(each.index)[0], measured.class_name(each.index), each.statistic,
            Cell(f"{each.value:.4g}", each.value), Cell(f"{each.z:+.1f}", each.z),
        ]
        for each in measured.outliers[:_LISTED]
    ]  # fmt: skip
    if not rows:
        return Markup()
    more = f"; outliers.csv lists all {len(measured.outliers):,}" if len(measured.outliers) > _LISTED else ""
    columns = [
        Column("sample"), Column("split"), Column("class"), Column("statistic"), Column("value", number=True),
        Column("robust z", number=True),
    ]  # fmt: skip
    return table(f"Outliers, the most unusual first{more}", columns, rows, sortable=True)


def _picture(report: ReportBuilder, measured: Measurements, samples: Samples) -> Markup:
    shown = [each.index for each in measured.outliers[:_SHOWN]]
    if not shown:
        return Markup()
    return album(report, measured, "outliers", shown, "The most unusual samples first.", samples)


def add_grid_section(report: ReportBuilder, measured: Measurements) -> None:
    """Add the correlation of neighbouring values, if it could be measured.

    Args:
        report: Report to extend.
        measured: Results of the checks.
    """
    found = measured.collected.neighbours
    if found is None:
        return
    rows: list[list[str | Cell]] = [
        [f"neighbours along the {axis}", f"{value:.3f}", f"{gain:.3f}", f"{error:.3f}", "yes" if related else "no"]
        for axis, value, gain, error, related in zip(
            report.words.axes[:-1], found.neighbours, found.gains, found.errors, found.related, strict=True
        )
        if np.isfinite(value)
    ]
    rows.append(["random positions", f"{found.random:.3f}", "", "", ""])
    columns = [
        Column("pairs of values"), Column("mean absolute correlation", number=True),
        Column("difference in Fisher's z", number=True), Column("its standard error", number=True),
        Column("more than at random positions"),
    ]  # fmt: skip
    report.sections.append(
        section(
            "grid",
            "Neighbouring values",
            "grid",
            table=table("Correlation of pairs of values", columns, rows),
            samples=f"{found.samples:,}",
            is_grid=found.is_grid,
        )
    )
