"""What all pictures of a report have in common."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from pipeline.plots.colours import FAINT, GRID

NOTHING = "Nothing to show"  # in what stands in place of a picture
# A scale is logarithmic where the greatest value is so many times the least.
_LOG_FROM = 8
_TWO_DECADES = 100


def plain(axes: Axes) -> None:
    """Two spines and a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="both", color=GRID)
    axes.set_axisbelow(True)


def sentence(title: str, why: str) -> Figure:
    """What stands in place of a picture that there is nothing to draw for."""
    figure = Figure(figsize=(8, 1.4))
    figure.text(0.5, 0.6, title, ha="center", fontsize=12)
    figure.text(0.5, 0.3, f"{NOTHING}: {why}.", ha="center", color=FAINT)
    return figure


def spans_magnitudes(values: Sequence[float]) -> bool:
    """Whether values can be distinguished on a logarithmic scale only."""
    return bool(values) and min(values) > 0 and max(values) / min(values) > _LOG_FROM


def scale_along(axes: Axes, values: Sequence[float]) -> None:
    """Make the scale along x logarithmic where the values span magnitudes; without formulas, which are not drawn."""
    if spans_magnitudes(values):
        axes.set_xscale("log")
        few = max(values) / min(values) < _TWO_DECADES
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if few else (1.0,)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
        axes.xaxis.set_minor_formatter(NullFormatter())


def plain_ticks(axis: Axis) -> None:
    """Write the ticks of a logarithmic scale as numbers, not as powers, which only a formula could show."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
    axis.set_minor_formatter(NullFormatter())


def _tick(value: float) -> str:
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:g}{letter}"
    return f"{value:g}"
