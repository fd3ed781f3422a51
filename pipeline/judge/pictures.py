"""How good a network's answers are, as pictures."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.figure import save_figure
from pipeline.judge.metrics import Answers, CalibrationBin

_MOST_CELLS_WITH_NUMBERS = 25
_MOST_NAMES = 60
_LONGEST_SIDE = 16.0  # inches


def draw_confusion(answers: Answers, classes: tuple[str, ...], path: Path) -> None:
    """The confusion matrix: a row for each right class, shaded by its share of the row.

    Of many classes only every so many are named.
    """
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(counts, (answers.labels, answers.predicted), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(2.4 + 0.42 * len(classes), _LONGEST_SIDE)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.subplots()
    shaded = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(classes) <= _MOST_CELLS_WITH_NUMBERS:
        for row, column in np.argwhere(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=8)
    step = math.ceil(len(classes) / _MOST_NAMES)
    places, names = range(0, len(classes), step), classes[::step]
    axes.set_xticks(places, names, rotation=90 if max(map(len, classes)) > 2 else 0)
    axes.set_yticks(places, names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")
    axes.set_title(f"Confusion, {len(answers.labels):,} test images")
    figure.colorbar(shaded, label="share of the actual class", shrink=0.8)
    save_figure(figure, path)


def draw_calibration(bins: tuple[CalibrationBin, ...], error: float, path: Path) -> None:
    """The reliability diagram: accuracy over confidence, with the number of answers below."""
    figure = Figure(figsize=(5.2, 5.6), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    confidence = [entry.confidence for entry in bins]
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", label="perfectly calibrated")
    axes.plot(confidence, [entry.accuracy for entry in bins], marker="o", label="this network")
    axes.set(ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02), title=f"Expected calibration error {error:.4f}")
    axes.legend(loc="upper left", frameon=False)
    below.bar(confidence, [entry.count for entry in bins], width=0.03)
    below.set(xlabel="confidence", ylabel="answers", yscale="log")
    save_figure(figure, path)


def draw_mistakes(
    images: NDArray[Any], answers: Answers, classes: tuple[str, ...], most: int, path: Path
) -> NDArray[np.int64]:
    """The mistakes of greatest confidence, in a grid; images of other than 1 or 3 channels as their mean.

    Returns:
        Their places among the images, most confident first.
    """
    wrong = np.flatnonzero(~answers.correct)
    worst = wrong[np.argsort(-answers.confidence[wrong], kind="stable")][:most]
    columns = 5
    rows = max(1, -(-len(worst) // columns))
    figure = Figure(figsize=(8.5, 1.95 * rows + 0.6), layout="constrained")
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    bright = 255.0 if images.dtype == np.uint8 else max(float(np.max(images)), 1e-9)
    for cell in cells:
        cell.set_axis_off()
    for cell, place in zip(cells, worst, strict=False):
        image = np.asarray(images[place], dtype=float) / bright
        cell.imshow(image.clip(0, 1) if image.shape[-1] == 3 else image.mean(axis=-1), cmap="gray", vmin=0, vmax=1)
        right, said = classes[answers.labels[place]], classes[answers.predicted[place]]
        cell.set_title(f"{right}, not {said}\n{answers.confidence[place]:.0%} sure, no. {place}", fontsize=8)
    figure.suptitle(f"The {len(worst)} most confident of {len(wrong)} mistakes" if len(wrong) else "No mistakes")
    save_figure(figure, path)
    return worst
