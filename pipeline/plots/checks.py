"""Draw the results of the checks of a dataset."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.checks.measurements import Measurements
from pipeline.checks.statistics import STATISTICS
from pipeline.data.dataset import Kind
from pipeline.data.split import SplitName
from pipeline.plots.axes import plain
from pipeline.plots.colours import BLUE, GREY, RED
from pipeline.plots.mosaic import Mosaic

_COLOURS = (BLUE, RED, GREY)  # train, val, test
_MAX_NAMES = 60
_MAX_SIDE = 16.0  # inches
_BINS = 40
_SAMPLE_SIDE, _SAMPLE_COLUMNS, _MAX_ROWS = 60, 10, 20
_TILE, _TILE_COLUMNS = 112, 6
_NAME = 18  # characters of a title

Images = Sequence[NDArray[Any]]


def draw_class_counts(counts: Mapping[SplitName, NDArray[np.int64]], classes: Sequence[str]) -> Figure:
    """Draw a stacked bar for each class, with a segment per split. With many classes, only a part of them is named.

    Args:
        counts: Number of samples of each class, by split.
        classes: Names of the classes.
    """
    figure = Figure(figsize=(8, min(0.3 * len(classes) + 1.3, _MAX_SIDE)), layout="constrained")
    axes = figure.subplots()
    left = np.zeros(len(classes))
    for (split, of_class), colour in zip(counts.items(), _COLOURS, strict=False):
        axes.barh(range(len(classes)), of_class, left=left, color=colour, label=f"{split} ({of_class.sum():,})")
        left += of_class
    step = math.ceil(len(classes) / _MAX_NAMES)
    axes.set_yticks(range(0, len(classes), step), [_short(name, 24) for name in classes[::step]])
    axes.set(ylim=(len(classes) - 0.4, -0.6), xlabel="samples")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    plain(axes)
    return figure


def draw_statistics(measured: Measurements) -> Figure:
    """Draw the distribution of each statistic in each split, as a line with equal area.

    Args:
        measured: Results of the checks.
    """
    figure = Figure(figsize=(10, 2.6), layout="constrained")
    cells = figure.subplots(1, len(STATISTICS), squeeze=False)[0]
    for column, (axes, name) in enumerate(zip(cells, STATISTICS, strict=True)):
        values = {split: facts.statistics[:, column] for split, facts in measured.collected.splits.items()}
        low, high = np.quantile(np.concatenate(list(values.values())).astype(float), (0.001, 0.999))
        edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
        for (split, of_split), colour in zip(values.items(), _COLOURS, strict=False):
            heights = np.histogram(of_split.clip(edges[0], edges[-1]), edges)[0] / len(of_split)
            axes.stairs(heights, edges, color=colour, label=split if column == 0 else None)
        axes.set(yticks=[], title=name)
        plain(axes)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def draw_rows(rows: Mapping[str, Images], bounds: tuple[float, float], kind: Kind) -> Figure:
    """Draw a row of samples for each class, with its name above.

    Args:
        rows: Samples (*grid, channels) of at most 20 classes.
        bounds: Raw values of black and white.
        kind: Kind of the samples.
    """
    mosaic = Mosaic(len(rows), _SAMPLE_COLUMNS, _SAMPLE_SIDE, kind=kind)
    for row, (name, images) in enumerate(rows.items()):
        for column, image in enumerate(images[:_SAMPLE_COLUMNS]):
            mosaic.image(row, column, image, *bounds, _short(name, 40) if column == 0 else "", align="left")
    return mosaic.figure()


def draw_album(images: Images, titles: Sequence[str], bounds: tuple[float, float], kind: Kind) -> Figure:
    """Draw samples, six in a row, each with a title.

    Args:
        images: Samples (*grid, channels), at least one.
        titles: Titles of up to two lines.
        bounds: Raw values of black and white.
        kind: Kind of the samples.
    """
    lines = max(title.count("\n") + 1 for title in titles)
    mosaic = Mosaic(-(-len(images) // _TILE_COLUMNS), _TILE_COLUMNS, _TILE, lines=lines, kind=kind)
    for number, (image, title) in enumerate(zip(images, titles, strict=True)):
        shown = "\n".join(_short(line, _NAME) for line in title.split("\n"))
        mosaic.image(*divmod(number, _TILE_COLUMNS), image, *bounds, shown)
    return mosaic.figure()


def _short(text: str, most: int) -> str:
    """The text, with the start replaced by … if it is too long: the end of a file's name identifies it."""
    return text if len(text) <= most else f"…{text[1 - most :]}"
