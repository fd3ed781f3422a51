"""The study as static pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from pipeline.figure import save_figure
from pipeline.params import SearchParams
from search.results import TrialResult, best_of

_MOST_CHOICES = 6  # up to so many different numbers stand side by side, more on a scale
_COMPLETE, _PRUNED, _BEST = "#1f5fa8", "#b0b7bf", "#d1495b"


def draw_pictures(
    results: Sequence[TrialResult], settings: SearchParams, shares: dict[str, float], folder: Path
) -> None:
    """Write optimization_history, param_importances, parallel_coordinate and slice as PNG; equal studies, equal bytes.

    Args:
        results: of all trials.
        settings: of the study.
        shares: importance of each variable, greatest first; empty: unknown.
        folder: exists.
    """
    order = [*shares, *sorted({name for result in results for name in result.drawn} - set(shares))]
    _save(_history(results), folder / "optimization_history.png")
    _save(_importances(shares), folder / "param_importances.png")
    _save(_parallel(results, order, best_of(results, settings)), folder / "parallel_coordinate.png")
    _save(_slices(results, order), folder / "slice.png")


def _save(figure: Figure, path: Path) -> None:
    save_figure(figure, path)


def _history(results: Sequence[TrialResult]) -> Figure:
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    complete = [result for result in results if result.state == "complete"]
    pruned = [result for result in results if result.state == "pruned" and result.val_accuracy is not None]
    axes.scatter(*_points(pruned), s=28, facecolors="none", edgecolors=_PRUNED, linewidths=1.5, label="pruned")
    axes.scatter(*_points(complete), s=28, color=_COMPLETE, label="complete", zorder=3)
    if complete:
        values = [result.val_accuracy or 0.0 for result in complete]
        best = np.maximum.accumulate(values)
        axes.step([result.number for result in complete], best, where="post", color=_BEST, label="best so far")
    for state, marker, color in (("failed", "x", "#222222"), ("infeasible", "|", "#888888")):
        numbers = [result.number for result in results if result.state == state]
        if numbers:
            axes.plot(numbers, [0.02] * len(numbers), marker, color=color, label=state, transform=_bottom(axes))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="trial", ylabel="validation accuracy at the last rung", title="Optimization history")
    figure.legend(frameon=False, loc="outside lower center", ncols=5)
    return _plain(figure, axes)


def _points(results: Sequence[TrialResult]) -> tuple[list[int], list[float]]:
    return [result.number for result in results], [result.val_accuracy or 0.0 for result in results]


def _bottom(axes: Axes) -> Any:
    """Trial numbers along x, shares of the height along y."""
    return axes.get_xaxis_transform()


def _importances(shares: dict[str, float]) -> Figure:
    if not shares:
        return _sentence("Parameter importances", "they need two completed trials that differ")
    figure = Figure(figsize=(8, 1.2 + 0.3 * len(shares)), layout="constrained")
    axes = figure.subplots()
    names = list(shares)[::-1]
    bars = axes.barh(names, [shares[name] for name in names], color=_COMPLETE)
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set(xlabel="share of the validation accuracy's variation (PED-ANOVA)", title="Parameter importances")
    axes.set_xlim(0, max(shares.values()) * 1.12 or 1.0)
    return _plain(figure, axes)


def _parallel(results: Sequence[TrialResult], names: Sequence[str], best: TrialResult | None) -> Figure:
    shown = [result for result in results if result.state == "complete" and result.drawn]
    if not shown:
        return _sentence("Parallel coordinates", "they need a completed trial and a space to draw from")
    figure = Figure(figsize=(max(8.0, 1.0 + 0.95 * (len(names) + 1)), 5.5), layout="constrained")
    axes = figure.subplots()
    accuracies = [result.val_accuracy or 0.0 for result in shown]
    heights = [_scale(axes, 0, accuracies)]
    for place, name in enumerate(names, start=1):
        heights.append(_scale(axes, place, [result.drawn.get(name) for result in shown]))
    low, high = min(accuracies), max(accuracies)
    shades = [(value - low) / (high - low) if high > low else 1.0 for value in accuracies]
    for row in sorted(range(len(shown)), key=lambda index: shades[index]):
        top = best is not None and shown[row].number == best.number
        color = _BEST if top else colormaps["Blues"](0.25 + 0.6 * shades[row])
        axes.plot([column[row] for column in heights], color=color, linewidth=2.4 if top else 1.2)
    axes.vlines(range(len(heights)), 0, 1, color="#444444", linewidth=0.8)
    labels = ["val_accuracy", *names]
    axes.set_xticks(range(len(labels)), labels, rotation=35, ha="right", rotation_mode="anchor")
    axes.set(xlim=(-0.3, len(heights) - 0.4), ylim=(-0.04, 1.06), title="Completed trials, the best in red")
    axes.yaxis.set_visible(False)
    axes.spines[:].set_visible(False)
    return figure


def _scale(axes: Axes, place: int, values: list[Any]) -> list[float]:
    """Heights from 0 to 1 for one variable, whose ends or choices are written beside its line."""
    if all(_is_number(value) for value in values):
        low, high = min(values), max(values)
        marks = {0.0: f"{low:.4g}", 1.0: f"{high:.4g}"} if high > low else {0.5: f"{low:.4g}"}
        heights = [(value - low) / (high - low) if high > low else 0.5 for value in values]
    else:
        choices = sorted({_name(value) for value in values})
        places = np.linspace(0, 1, len(choices)) if len(choices) > 1 else [0.5]
        at = dict(zip(choices, (float(height) for height in places), strict=True))
        marks = {height: choice for choice, height in at.items()}
        heights = [at[_name(value)] for value in values]
    for height, text in marks.items():
        axes.text(place + 0.05, height + 0.015, text, fontsize=8, color="#444444")
    return heights


def _slices(results: Sequence[TrialResult], names: Sequence[str]) -> Figure:
    shown = [result for result in results if result.val_accuracy is not None and result.state != "failed"]
    if not shown or not names:
        return _sentence("Slices", "they need a trained trial and a space to draw from")
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(2.9 * columns, 2.5 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place >= len(names):
            axes.set_visible(False)
            continue
        name = names[place]
        _slice(axes, name, [(result, result.drawn[name]) for result in shown if name in result.drawn])
        if place % columns == 0:
            axes.set_ylabel("validation accuracy")
    figure.suptitle("Accuracy by each drawn value (filled: complete, hollow: pruned)", fontsize=11)
    return figure


def _slice(axes: Axes, name: str, points: list[tuple[TrialResult, Any]]) -> None:
    values = [value for _, value in points]
    numbers = all(_is_number(value) for value in values)
    if numbers and len(set(values)) > _MOST_CHOICES:
        places = [float(value) for value in values]
        if min(places) > 0 and max(places) / min(places) > 8:
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        choices = sorted(set(values), key=None if numbers else str)
        places = [float(choices.index(value)) for value in values]
        axes.set_xticks(range(len(choices)), [_name(choice) for choice in choices])
        axes.margins(x=0.25)
    for (result, _), place in zip(points, places, strict=True):
        complete = result.state == "complete"
        axes.plot(
            place,
            result.val_accuracy or 0.0,
            marker="o",
            markersize=4.5,
            markerfacecolor=_COMPLETE if complete else "none",
            markeredgecolor=_COMPLETE if complete else _PRUNED,
            zorder=3 if complete else 2,
        )
    axes.set_title(name, fontsize=10)
    _plain(None, axes)


def _name(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _sentence(title: str, why: str) -> Figure:
    """What stands in place of a picture that there is nothing to draw for."""
    figure = Figure(figsize=(8, 2))
    figure.text(0.5, 0.6, title, ha="center", fontsize=12)
    figure.text(0.5, 0.35, f"Nothing to show: {why}.", ha="center", color="#666666")
    return figure


def _plain(figure: Figure | None, axes: Axes) -> Figure:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="both", color="#eeeeee")
    axes.set_axisbelow(True)
    return figure if figure is not None else Figure()
