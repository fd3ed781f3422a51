"""Plot the objective over trials, training effort and wall time."""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.params import SearchParams
from pipeline.plots.axes import plain
from pipeline.plots.colours import FAINT, MUTED
from search.plots.ranges import mark_beyond, range_that_matters
from search.plots.style import BEST, COMPLETE, PRUNED, first_value, label, legend, of_state
from search.study.config import StudyConfig
from search.study.results import TrialResult, best_of, direction
from search.study.rungs import shares

_UNITS = (("hours", 3600), ("minutes", 60), ("seconds", 1))


def optimization_history(results: Sequence[TrialResult], settings: SearchParams) -> Figure:
    """Plot the history over the number of the trial, with failed and infeasible trials."""
    figure, axes = _history(results, [float(result.number) for result in results], settings, "Optimization history")
    for state, marker, color in (("failed", "x", MUTED), ("infeasible", "|", FAINT)):
        numbers = [result.number for result in results if result.state == state]
        if numbers:
            along: Any = axes.get_xaxis_transform()
            axes.plot(numbers, [0.02] * len(numbers), marker, color=color, label=state, transform=along)
    last, margin = max((result.number for result in results), default=0), max(0.5, 0.03 * len(results))
    axes.set_xlim(-margin, last + margin)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("trial")
    legend(figure, axes)
    return figure


def training_effort(results: Sequence[TrialResult], config: StudyConfig) -> Figure:
    """Plot the history over the training effort."""
    spent = list(accumulate(effort(results, config)))
    figure, axes = _history(results, spent, config.settings, "Training effort")
    axes.set_xlabel("cumulative effort, in epochs of trial 0 (by multiply-accumulates)")
    legend(figure, axes)
    return figure


def over_wall_time(results: Sequence[TrialResult], settings: SearchParams) -> Figure:
    """Plot the history over wall time. This is the only plot that differs between equal studies."""
    ended = sorted((result for result in results if result.ended), key=lambda result: result.ended or 0.0)
    first = min((result.started for result in ended), default=0.0)
    seconds = [(result.ended or 0.0) - first for result in ended]
    unit, length = next(each for each in _UNITS if max(seconds, default=0.0) >= each[1] or each[1] == 1)
    figure, axes = _history(ended, [each / length for each in seconds], settings, "Wall time")
    axes.set_xlabel(f"{unit} since the first trial was created, including interruptions")
    legend(figure, axes)
    return figure


def effort(results: Sequence[TrialResult], config: StudyConfig) -> list[float]:
    """Return the training cost of each trial in multiply-accumulates, relative to a full epoch of trial 0."""
    baseline = next((result.cost.get("macs", 0) for result in results), 0)
    taken = [0.0, *accumulate(shares(config.rungs))]
    return [
        taken[len(result.history)] * result.cost["macs"] / baseline if result.trained and baseline else 0.0
        for result in results
    ]


def _history(
    results: Sequence[TrialResult], at: Sequence[float], settings: SearchParams, title: str
) -> tuple[Figure, Axes]:
    """Plot the first objective of the trials at the given x positions, and the best value so far."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    places = dict(zip((result.number for result in results), at, strict=True))

    def points(some: Sequence[TrialResult]) -> tuple[list[float], list[float]]:
        return [places[result.number] for result in some], [first_value(result, settings) for result in some]

    complete = of_state(results, "complete")
    pruned, reused = ([each for each in of_state(results, state) if each.history] for state in ("pruned", "reused"))
    maximize = direction(settings.objectives[0]) == "maximize"
    limits = range_that_matters([first_value(each, settings) for each in complete], maximize)
    low, high = limits or (-math.inf, math.inf)
    worse = [each for each in (*pruned, *reused, *complete) if not low <= first_value(each, settings) <= high]
    pruned, reused = ([each for each in some if each not in worse] for some in (pruned, reused))
    if pruned:
        axes.scatter(*points(pruned), s=28, facecolors="none", edgecolors=PRUNED, linewidths=1.5, label="pruned")
    if reused:
        axes.scatter(*points(reused), s=30, facecolors="none", edgecolors=COMPLETE, marker="D", label="reused")
    if complete:
        numbers, values = points(complete)
        axes.scatter(numbers, values, s=28, color=COMPLETE, label="complete", zorder=3)
        better = np.maximum if direction(settings.objectives[0]) == "maximize" else np.minimum
        so_far = [*better.accumulate(values), better.reduce(values)]
        axes.step([*numbers, max(at)], so_far, where="post", color=BEST, label="best so far")
    best = best_of(results, settings)
    if best is not None:
        axes.scatter(*points([best]), s=110, facecolors="none", edgecolors=BEST, linewidths=1.8, label="chosen")
    axes.set(ylabel=label(settings.objectives[0]), title=title)
    if limits is not None:
        axes.set_ylim(*limits)
        mark_beyond(axes, *points(worse), maximize)
    plain(axes)
    return figure, axes
