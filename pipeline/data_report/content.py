"""Report what a dataset contains: classes, samples and files."""

from collections.abc import Mapping

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from pipeline.checks.files import FileSummary, size_text
from pipeline.checks.measurements import Measurements
from pipeline.data_report.pictures import Samples
from pipeline.data_report.section import section
from pipeline.pages.tables import Cell, Column, table
from pipeline.plots.checks import draw_album, draw_class_counts, draw_rows
from pipeline.report.builder import ReportBuilder

_CLASSES, _SAMPLES = 20, 10
_LISTED = 50  # files, modes
_SIZES = 20  # listed one by one


def add_class_section(report: ReportBuilder, measured: Measurements) -> None:
    """Add the number of samples of each class.

    Args:
        report: Report to extend.
        measured: Results of the checks.
    """
    counts, classes = measured.counts(), measured.facts.classes
    train = counts["train"]
    ratio = float(train.max() / max(1, train.min()))
    weights = measured.facts.weights
    weighted = None if weights is None else _share_of_weight(measured, weights)
    rows: list[list[str | Cell]] = [
        [
            name,
            *(Cell(f"{of_class[label]:,}", int(of_class[label])) for of_class in counts.values()),
            Cell(f"{train[label] / max(1, train.sum()):.1%}", float(train[label])),
            *(() if weighted is None else (Cell(f"{weighted[label]:.1%}", float(weighted[label])),)),
        ]
        for label, name in enumerate(classes)
    ]
    more = [] if weighted is None else ["share of its weight"]
    titles = [*counts, "share of train", *more]
    columns = [Column("class"), *(Column(title, number=True) for title in titles)]
    sums = ["all", *(f"{of_class.sum():,}" for of_class in counts.values()), "100.0%", *("100.0%" for _ in more)]
    report.sections.append(
        section(
            "classes",
            "Classes",
            "classes",
            ratio=f"{ratio:.1f}",
            largest=classes[int(train.argmax())],
            smallest=classes[int(train.argmin())],
            weights=() if weights is None else (f"{weights.min():g}", f"{weights.max():g}"),
            plot=report.plot("class_counts", draw_class_counts(counts, classes), "Samples per class and split."),
            table=table("Samples per class and split", columns, rows, sums, sortable=True),
        )
    )


def _share_of_weight(measured: Measurements, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """(classes,) share of each class in the sum of the weights of the training samples."""
    labels = measured.collected.splits["train"].labels
    sums = np.bincount(labels, weights, minlength=len(measured.facts.classes))
    return np.asarray(sums / sums.sum(), np.float64)


def add_content_section(report: ReportBuilder, measured: Measurements, samples: Samples) -> None:
    """Add samples and the mean of each class.

    Args:
        report: Report to extend.
        measured: Results of the checks.
        samples: The samples, and how they are drawn.
    """
    classes, labels = measured.facts.classes, measured.collected.splits["train"].labels
    shown = list(measured.collected.class_means)[:_CLASSES]
    rows = {
        classes[label]: samples.drawn("train", np.flatnonzero(labels == label)[:_SAMPLES].tolist()) for label in shown
    }
    means = [measured.collected.class_means[label] for label in shown]
    hidden = f" {len(classes) - len(shown):,} more classes are not shown." if len(classes) > len(shown) else ""
    report.sections.append(
        section(
            "samples",
            "Samples",
            "samples",
            samples=report.images(
                "samples",
                draw_rows(rows, samples.bounds, samples.kind),
                f"The first training samples of each class.{hidden}",
            ),
            means=report.images(
                "class_means",
                draw_album(means, [classes[label] for label in shown], _bounds(means), samples.kind),
                f"Mean of all training samples of each class, from their smallest to their largest value.{hidden}",
            ),
        )
    )


def add_file_section(report: ReportBuilder, measured: Measurements) -> None:
    """Add what became of the files, if the source consists of files.

    Args:
        report: Report to extend.
        measured: Results of the checks.
    """
    files = measured.facts.files
    if files is None:
        return
    sizes = {size_text(size): count for size, count in files.sizes.items()}
    if len(sizes) > _SIZES:  # such as recordings of many lengths
        extents = [f"{min(axis):,} to {max(axis):,}" for axis in zip(*files.sizes, strict=True)]
        sizes = {f"{len(sizes):,} sizes: {' × '.join(extents)}": sum(sizes.values())}
    tables = [
        _counts("Files by status", "status", files.status),
        _counts("Used files by mode", "mode", files.modes),
        _counts("Used files by format", "format", files.formats),
        _counts("Used files by size", "size", sizes),
        _counts("Used files by conversion", "conversion", files.converted),
    ]
    report.sections.append(
        section("files", "Files", "files", tables=tables, skipped=_skipped(files), resized=f"{files.resized:,}")
    )


def _skipped(files: FileSummary) -> Markup:
    rows: list[list[str | Cell]] = [
        [record.file, record.class_name, Cell(record.reason, kind="words")] for record in files.skipped[:_LISTED]
    ]
    title = f"Skipped files; files.csv lists all {len(files.skipped):,}"
    columns = [Column("file"), Column("class"), Column("reason")]
    return table(title, columns, rows, sortable=True) if rows else Markup()


def _counts(title: str, name: str, counts: Mapping[str, int]) -> Markup:
    if not counts:
        return Markup()
    more = f"; {len(counts) - _LISTED:,} more in files.csv" if len(counts) > _LISTED else ""
    rows: list[list[str | Cell]] = [[text, Cell(f"{count:,}", count)] for text, count in list(counts.items())[:_LISTED]]
    return table(f"{title}{more}", [Column(name), Column("files", number=True)], rows)


def _bounds(means: list[np.ndarray]) -> tuple[float, float]:
    return min(float(mean.min()) for mean in means), max(float(mean.max()) for mean in means)
