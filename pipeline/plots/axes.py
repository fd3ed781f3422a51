"""Axes, ticks and placeholders that all figures share."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from pipeline.plots.colours import FAINT, GRID

NOTHING = "Nothing to show"  # starts the text of a placeholder
_LOG_FROM = 8  # the scale is logarithmic if the largest value exceeds this multiple of the smallest
_TWO_DECADES = 100


def plain(axes: Axes) -> None:
    """Show only the left and bottom spines, and a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="both", color=GRID)
    axes.set_axisbelow(True)


def sentence(title: str, why: str) -> Figure:
    """Draw a placeholder for a figure without data.

    Args:
        title: Title of the figure.
        why: Reason why there is nothing to show.
    """
    figure = Figure(figsize=(8, 1.4))
    figure.text(0.5, 0.6, title, ha="center", fontsize=12)
    figure.text(0.5, 0.3, f"{NOTHING}: {why}.", ha="center", color=FAINT)
    return figure


def spans_magnitudes(values: Sequence[float]) -> bool:
    """Whether the values need a logarithmic scale."""
    return bool(values) and min(values) > 0 and max(values) / min(values) > _LOG_FROM


def scale_along(axes: Axes, values: Sequence[float]) -> None:
    """Make the x axis logarithmic if the values span magnitudes, with ticks as plain numbers."""
    if spans_magnitudes(values):
        axes.set_xscale("log")
        few = max(values) / min(values) < _TWO_DECADES
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if few else (1.0,)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
        axes.xaxis.set_minor_formatter(NullFormatter())


def plain_ticks(axis: Axis) -> None:
    """Write the ticks of a logarithmic axis as plain numbers. Powers need math text, which the figures do not use."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
    axis.set_minor_formatter(NullFormatter())


def _tick(value: float) -> str:
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:g}{letter}"
    return f"{value:g}"
