"""Plots of the drawn values against the objective: parallel coordinates and slices."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.params import SearchParams
from pipeline.plots.axes import plain, scale_along, sentence, spans_magnitudes
from pipeline.plots.colours import MUTED
from search.plots.ranges import mark_beyond, range_that_matters
from search.plots.style import (
    BEST,
    COMPLETE,
    PRUNED,
    choice_name,
    first_value,
    is_number,
    label,
    of_state,
)
from search.study.results import TrialResult, best_of, direction

# Maximum number of variables in a plot. A key drawn per block is a separate variable for each block.
MAX_COORDINATES, MAX_SLICES = 12, 24
_MAX_CHOICES = 6  # up to this many different numbers are shown as categories, more on a numeric axis
_NOT_DRAWN = -0.14


def parallel_coordinates(results: Sequence[TrialResult], settings: SearchParams, names: Sequence[str]) -> Figure:
    """Plot a line for each completed trial through its first objective and its drawn values.

    Args:
        results: All trials of the study.
        settings: The section `search` of params.yaml.
        names: Names of the variables, the most important first.
    """
    shown = [result for result in of_state(results, "complete") if result.drawn]
    names = names[:MAX_COORDINATES]
    if not shown:
        return sentence("Parallel coordinates", "no completed trial has drawn values")
    figure = Figure(figsize=(max(8.0, 1.0 + 0.88 * (len(names) + 1)), 5.0), layout="constrained")
    axes = figure.subplots()
    values = [first_value(result, settings) for result in shown]
    heights = [_scale(axes, 0, values)]
    for place, name in enumerate(names, start=1):
        heights.append(_scale(axes, place, [result.drawn.get(name) for result in shown]))
    shades = heights[0] if direction(settings.objectives[0]) == "maximize" else [1.0 - at for at in heights[0]]
    best = best_of(results, settings)
    for row in sorted(range(len(shown)), key=lambda index: shades[index]):
        top = best is not None and shown[row].number == best.number
        axes.plot(
            [column[row] for column in heights],
            color=BEST if top else COMPLETE,
            alpha=1.0 if top else 0.15 + 0.7 * shades[row],
            linewidth=2.4 if top else 1.2,
            zorder=3 if top else 2,
        )
    axes.vlines(range(len(heights)), 0, 1, color=MUTED, linewidth=0.8)
    axes.set_xticks(range(len(heights)), [settings.objectives[0], *names], rotation=35, ha="right")
    for text in axes.get_xticklabels():
        text.set_rotation_mode("anchor")
    low = _NOT_DRAWN if any(_NOT_DRAWN in column for column in heights) else 0.0
    axes.set(xlim=(-0.3, len(heights) - 0.3), ylim=(low - 0.07, 1.07), title="Completed trials (red: chosen)")
    axes.yaxis.set_visible(False)
    axes.spines[:].set_visible(False)
    return figure


def _scale(axes: Axes, place: int, values: list[Any]) -> list[float]:
    """Return the heights of one variable's values from 0 to 1, and label the limits or choices on its vertical line.

    A value that was not drawn is placed below the line.
    """
    drawn = [value for value in values if value is not None]
    if drawn and all(is_number(value) for value in drawn):
        scaled = np.log(drawn) if spans_magnitudes(drawn) else np.array(drawn, float)
        low, high = float(scaled.min()), float(scaled.max())
        places = [(float(value) - low) / (high - low) if high > low else 0.5 for value in scaled]
        marks = {0.0: f"{min(drawn):.4g}", 1.0: f"{max(drawn):.4g}"} if high > low else {0.5: f"{drawn[0]:.4g}"}
    else:
        choices = sorted({choice_name(value) for value in drawn})
        at = dict(zip(choices, np.linspace(0, 1, len(choices)) if len(choices) > 1 else [0.5], strict=True))
        marks = {float(height): choice for choice, height in at.items()}
        places = [float(at[choice_name(value)]) for value in drawn]
    if len(drawn) < len(values):
        marks[_NOT_DRAWN] = "not drawn"
    for height, text in marks.items():
        at_end = height in (0.0, _NOT_DRAWN)  # below the vertical line, where no trial's line passes
        offset, raised, align = (0.0, -0.02, "top") if at_end else (0.05, 0.015, "bottom")
        axes.text(place + offset, height + raised, text, fontsize=8, color=MUTED, va=align, zorder=5)
    found = iter(places)
    return [_NOT_DRAWN if value is None else next(found) for value in values]


def slices(results: Sequence[TrialResult], settings: SearchParams, names: Sequence[str]) -> Figure:
    """Plot the first objective against each drawn variable.

    Args:
        results: All trials of the study.
        settings: The section `search` of params.yaml.
        names: Names of the variables, the most important first.
    """
    shown = [result for result in of_state(results, "complete", "pruned", "reused") if result.history]
    names = [name for name in names if any(name in result.drawn for result in shown)][:MAX_SLICES]
    if not names:
        return sentence("Slices", "no trained trial has drawn values")
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(max(8.0, 2.5 * columns), 2.3 * rows + 0.6), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    drawn = []
    for place, axes in enumerate(grid.flat):
        if place >= len(names):
            axes.set_visible(False)
            continue
        some = [result for result in shown if names[place] in result.drawn]
        at = _slice(axes, names[place], some, settings)
        drawn.append((axes, at, [first_value(result, settings) for result in some]))
        if place % columns == 0:
            axes.set_ylabel(label(settings.objectives[0]))
    maximize = direction(settings.objectives[0]) == "maximize"
    ended = [first_value(result, settings) for result in shown if result.state == "complete"]
    limits = range_that_matters(ended, maximize)
    if limits is not None:
        grid.flat[0].set_ylim(*limits)  # for all axes, because they share y
        for axes, places, values in drawn:
            mark_beyond(axes, places, values, maximize)
    marks = [
        "filled: complete",
        "diamond: reused",
        "grey: pruned",
        *(["triangle: outside the axis range"] if limits else []),
    ]
    figure.suptitle(f"Objective by drawn value ({', '.join(marks)})", fontsize=11)
    return figure


def _slice(axes: Axes, name: str, shown: Sequence[TrialResult], settings: SearchParams) -> list[float]:
    """Plot the trials over one variable, and return their x positions."""
    values: list[Any] = [result.drawn[name] for result in shown]
    numbers = all(is_number(value) for value in values)
    if numbers and len(set(values)) > _MAX_CHOICES:
        places = {value: float(value) for value in values}
        scale_along(axes, values)
    else:
        choices = sorted(set(values), key=None if numbers else str)
        places = {choice: float(place) for place, choice in enumerate(choices)}
        texts = [choice_name(choice) for choice in choices]
        crowded = sum(len(text) for text in texts) > 24
        axes.set_xticks(range(len(choices)), texts, rotation=30 if crowded else 0, ha="right" if crowded else "center")
        axes.margins(x=0.25)
    for state, marker, size, filled, color in (
        ("pruned", "o", 20, False, PRUNED),
        ("reused", "D", 18, False, COMPLETE),
        ("complete", "o", 20, True, COMPLETE),
    ):
        some = [result for result in shown if result.state == state]
        at = [places[result.drawn[name]] for result in some]
        heights = [first_value(result, settings) for result in some]
        axes.scatter(at, heights, size, marker=marker, facecolors=color if filled else "none", edgecolors=color)
    axes.set_title(name, fontsize=10)
    plain(axes)
    return [places[result.drawn[name]] for result in shown]
