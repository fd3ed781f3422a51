"""Draw the accuracy on corrupted images, and examples of the corruptions."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.corruptions.corruption import SEVERITIES
from pipeline.corruptions.corruptions import corrupt
from pipeline.data.dataset import Kind
from pipeline.evaluation.robustness import CorruptionResult, bounds_of
from pipeline.plots.axes import plain
from pipeline.plots.colours import BLUE, FAINT
from pipeline.plots.mosaic import Mosaic

_COLUMNS = 4


def draw_robustness(corruption_results: Sequence[CorruptionResult], clean: float, confidence: float) -> Figure:
    """Draw the accuracy over the severity of each corruption, with its interval as a band.

    A dashed line shows the accuracy on clean images.

    Args:
        corruption_results: Results for each corruption and severity.
        clean: Accuracy on clean images.
        confidence: Level of the intervals.
    """
    kinds = [(name, list(group)) for name, group in groupby(corruption_results, lambda each: each.corruption)]
    rows = max(1, -(-len(kinds) // _COLUMNS))
    figure = Figure(figsize=(10, 2.1 * rows + 0.3), layout="constrained")
    cells = figure.subplots(rows, _COLUMNS, squeeze=False, sharex=True, sharey=True).ravel()
    for axes in cells[len(kinds) :]:
        axes.set_visible(False)
    for axes, (name, group) in zip(cells, kinds, strict=False):
        plain(axes)
        axes.axhline(clean, color=FAINT, linestyle="--", linewidth=0.8)
        low, high = zip(*(each.interval(confidence) for each in group), strict=True)
        axes.fill_between([each.severity for each in group], low, high, color=BLUE, alpha=0.2, linewidth=0)
        axes.plot([each.severity for each in group], [each.accuracy for each in group], color=BLUE, marker="o")
        axes.set(ylim=(-0.03, 1.03), xticks=SEVERITIES)
        axes.set_title(name.replace("_", " "), fontsize=10)
    figure.supxlabel("severity", fontsize=10)
    figure.supylabel("accuracy", fontsize=10)
    return figure


def draw_corruptions(
    image: NDArray[Any], images: NDArray[Any], names: Sequence[str], seed: int, kind: Kind = "image"
) -> Figure:
    """Draw a sample, and its corrupted copies for each corruption and severity.

    Args:
        image: (*grid, channels) raw values.
        images: (n, *grid, channels) all images, which determine the range of the pixel values.
        names: Names of the corruptions.
        seed: Seed of the corruptions.
        kind: Kind of the samples.
    """
    bounds = bounds_of(images)
    mosaic = Mosaic(len(names), len(SEVERITIES) + 1, 104, kind=kind)
    for row, name in enumerate(names):
        mosaic.image(row, 0, image, *bounds, name.replace("_", " "))
        for severity in SEVERITIES:
            corrupted = corrupt(image[None], name, severity, seed, bounds, kind)[0]
            mosaic.image(row, severity, corrupted, *bounds, str(severity))
    return mosaic.figure()
