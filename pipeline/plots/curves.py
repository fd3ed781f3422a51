"""Draw ROC and precision–recall curves."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.evaluation.curves import Curves
from pipeline.plots.axes import plain
from pipeline.plots.colours import FAINT, GREY

_MAX_NAMED = 10
_MAX_POINTS = 200  # drawn points of a curve


def draw_curves(found: tuple[Curves, ...]) -> Figure:
    """Draw ROC curves and precision–recall curves side by side.

    The ten classes with the lowest average precision are named; the others are grey.

    Args:
        found: Curves of each class.
    """
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    worst = sorted(found, key=lambda each: (each.average_precision, each.name))[:_MAX_NAMED]
    for each in sorted(found, key=lambda each: each in worst):
        style = {"label": _label(each)} if each in worst else {}
        colour = {} if each in worst else {"color": GREY, "alpha": 0.4}
        left.plot(*_thinned(each.false_positives, each.true_positives), linewidth=1, **style, **colour)
        right.plot(*_thinned(each.recall, each.precision), linewidth=1, **colour)
    left.plot([0, 1], [0, 1], color=FAINT, linestyle="--", linewidth=0.8)
    left.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC", xlim=(-0.02, 1.02))
    right.set(xlabel="recall", ylabel="precision", title="Precision and recall", xlim=(-0.02, 1.02), ylim=(0, 1.04))
    for axes in (left, right):
        plain(axes)
    if worst:
        left.legend(frameon=False, fontsize=8, title="ROC AUC, average precision", title_fontsize=8, loc="lower right")
    return figure


def _label(each: Curves) -> str:
    """Label for the legend. Matplotlib omits labels that start with an underscore, so these get a leading space."""
    name = f" {each.name}" if each.name.startswith("_") else each.name
    return f"{name}: {each.roc_auc:.3f}, {each.average_precision:.3f}"


def _thinned(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    chosen = np.unique(np.linspace(0, len(x) - 1, _MAX_POINTS).round().astype(int))
    return x[chosen], y[chosen]
