"""Axis limits that show the better trials in detail, regardless of failures and outliers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pipeline.plots.colours import MUTED

_MARGIN = 0.08  # fraction of the range, added beyond the best and the worst value shown
_SQUASHED = 1.6  # all values are shown unless their range exceeds that of the better trials by this factor


def range_that_matters(values: Sequence[float], maximize: bool) -> tuple[float, float] | None:
    """Return axis limits from the best value to its mirror image about the median, or None if no limits are needed.

    Args:
        values: Objective values of the completed trials.
        maximize: Whether greater values are better.
    """
    if len(values) < 2:
        return None
    signed = np.asarray(values, float) * (1.0 if maximize else -1.0)
    best, middle = float(signed.max()), float(np.median(signed))
    least = max(float(signed.min()), middle - (best - middle))
    span = best - least
    if span <= 0 or best - float(signed.min()) <= _SQUASHED * span:
        return None
    low, high = least - _MARGIN * span, best + _MARGIN * span
    return (low, high) if maximize else (-high, -low)


def mark_beyond(axes: Axes, at: Sequence[float], values: Sequence[float], maximize: bool) -> None:
    """Draw a small triangle at the edge for each point that is worse than the axis limits.

    Args:
        axes: The axes to draw on. Their limits are already set.
        at: The x positions of the points.
        values: The y values of the points.
        maximize: Whether greater values are better.
    """
    low, high = axes.get_ylim()
    beyond = [x for x, value in zip(at, values, strict=True) if (value < low if maximize else value > high)]
    if beyond:
        edge = 0.02 if maximize else 0.98
        along: Any = axes.get_xaxis_transform()
        heights: NDArray[np.float64] = np.full(len(beyond), edge)
        axes.scatter(
            beyond, heights, s=22, marker="v" if maximize else "^", color=MUTED, transform=along,
            label="outside the axis range", clip_on=False, zorder=4,
        )  # fmt: skip
