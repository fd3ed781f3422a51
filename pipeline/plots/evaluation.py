"""Draw the predictions of a network: confusion matrix, calibration, mistakes and uncertain predictions."""

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from pipeline.data.dataset import Kind
from pipeline.evaluation.metrics import CalibrationBin, Predictions
from pipeline.evaluation.robustness import bounds_of
from pipeline.plots.axes import plain, plain_ticks
from pipeline.plots.colours import BLUE, GREY
from pipeline.plots.mosaic import Mosaic

_MAX_CELLS_WITH_NUMBERS = 25
_MAX_NAMES = 60
_MAX_SIDE = 16.0  # inches


def draw_confusion(predictions: Predictions, classes: tuple[str, ...]) -> Figure:
    """Draw the confusion matrix: a row per actual class, with counts, shaded by the share of the row.

    With many classes, only a part of them is named.

    Args:
        predictions: Predictions for the test images.
        classes: Names of the classes.
    """
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(counts, (predictions.labels, predictions.predicted), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(2.4 + 0.38 * len(classes), _MAX_SIDE)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    for row, column in np.argwhere(counts):
        corner, alpha = (column - 0.5, row - 0.5), float(0.06 + 0.54 * shares[row, column])
        axes.add_patch(Rectangle(corner, 1, 1, facecolor=BLUE, alpha=alpha, linewidth=0))
        if len(classes) <= _MAX_CELLS_WITH_NUMBERS:
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=9)
    step = math.ceil(len(classes) / _MAX_NAMES)
    places, names = range(0, len(classes), step), classes[::step]
    axes.set_xticks(places, names, rotation=90 if max(map(len, classes)) > 2 else 0)
    axes.set_yticks(places, names)
    edge = len(classes) - 0.5
    axes.set(xlim=(-0.5, edge), ylim=(edge, -0.5), aspect="equal", xlabel="predicted", ylabel="actual")
    plain(axes)
    return figure


def draw_calibration(bins: tuple[CalibrationBin, ...], error: float, confidence: float) -> Figure:
    """Draw the reliability diagram: accuracy over confidence with intervals, and the number of predictions below.

    Args:
        bins: Calibration bins of the predictions.
        error: Expected calibration error.
        confidence: Level of the Wilson intervals.
    """
    figure = Figure(figsize=(5.2, 5.6), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    sure = [entry.confidence for entry in bins]
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="perfectly calibrated")
    bounds = [entry.interval(confidence) for entry in bins]
    axes.vlines(sure, *zip(*bounds, strict=True), color=BLUE, linewidth=1.2, label=f"{confidence:.0%} interval")
    axes.plot(sure, [entry.accuracy for entry in bins], color=BLUE, marker="o", linestyle="none", label="this network")
    axes.set(ylabel="accuracy", xlim=(0, 1.02), ylim=(-0.02, 1.02), title=f"Expected calibration error {error:.4f}")
    axes.legend(loc="upper left", frameon=False)
    below.bar(sure, [entry.count for entry in bins], width=0.03, color=BLUE)
    below.set(xlabel="confidence", ylabel="predictions", yscale="log")
    plain_ticks(below.yaxis)
    for each in (axes, below):
        plain(each)
    return figure


def worst_first(predictions: Predictions) -> NDArray[np.int64]:
    """Indices of the misclassified images, highest confidence first."""
    wrong = np.flatnonzero(~predictions.correct)
    return np.asarray(wrong[np.argsort(-predictions.confidence[wrong], kind="stable")])


def draw_mistakes(
    images: NDArray[Any], predictions: Predictions, classes: tuple[str, ...], most: int, kind: Kind = "image"
) -> Figure:
    """Draw the misclassified samples with the highest confidence.

    Args:
        images: (n, *grid, channels) raw values.
        predictions: Predictions for the images.
        classes: Names of the classes.
        most: Maximum number of samples.
        kind: Kind of the samples.
    """
    wrong = worst_first(predictions)
    worst = wrong[:most]
    title = f"Most confident mistakes ({len(worst)} of {len(wrong)})" if len(wrong) else "No mistakes"
    return _album(images, predictions, classes, worst, title, kind)


def draw_least_certain(
    images: NDArray[Any], predictions: Predictions, classes: tuple[str, ...], most: int, kind: Kind = "image"
) -> Figure:
    """Draw the correctly classified samples with the lowest confidence.

    Args:
        images: (n, *grid, channels) raw values.
        predictions: Predictions for the images.
        classes: Names of the classes.
        most: Maximum number of samples.
        kind: Kind of the samples.
    """
    right = np.flatnonzero(predictions.correct)
    least = right[np.argsort(predictions.confidence[right], kind="stable")][:most]
    found = f"The {len(least)} least confident of {len(right)} correct predictions"
    title = found if len(right) else "No correct predictions"
    return _album(images, predictions, classes, least, title, kind)


def _album(
    images: NDArray[Any],
    predictions: Predictions,
    classes: tuple[str, ...],
    chosen: NDArray[np.int64],
    title: str,
    kind: Kind,
) -> Figure:
    columns = 5
    mosaic = Mosaic(max(1, -(-len(chosen) // columns)), columns, 176, lines=2, heading=title, kind=kind)
    low, high = bounds_of(images)
    for number, place in enumerate(chosen):
        right, said = classes[predictions.labels[place]], classes[predictions.predicted[place]]
        classified = right if right == said else f"{right} predicted as {said}"
        caption = f"{classified}\n{predictions.confidence[place]:.0%} confidence, no. {place}"
        mosaic.image(*divmod(number, columns), images[place], low, high, caption)
    return mosaic.figure()
