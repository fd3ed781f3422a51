"""Static plots of a study."""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.params import SearchParams
from pipeline.plots.axes import plain, scale_along, sentence
from pipeline.plots.colours import FAINT, MUTED
from search.analysis.importance import Importance
from search.analysis.trials_csv import at_rung
from search.plots.curves import learning_curves
from search.plots.ranges import mark_beyond, range_that_matters
from search.plots.style import BEST, COMPLETE, PRUNED, first_value, label, of_state, ordered_by
from search.plots.values import MOST_SLICES, parallel_coordinates, slices
from search.study.config import StudyConfig
from search.study.results import TrialResult, best_of, direction, pareto_front
from search.study.rungs import Rung, shares

# The points of a rung are spread over this many columns, so that they overlap less.
_COLUMNS = 7
_UNITS = (("hours", 3600), ("minutes", 60), ("seconds", 1))


def pictures(
    results: Sequence[TrialResult], config: StudyConfig, importances: dict[str, Importance], lacking: str
) -> dict[str, Figure]:
    """Return all plots of a study by file name without suffix.

    `pareto_front` is included if there are several objectives.

    Args:
        results: All trials of the study.
        config: The constants of the study.
        importances: Importance of each variable, in descending order. Empty if unknown.
        lacking: Reason why the importances are unknown.
    """
    settings = config.settings
    others = sorted({name for result in results for name in result.drawn} - set(importances))
    names = [*importances, *others]
    found = {
        "optimization_history": _over_trials(results, settings),
        "training_effort": _over_effort(results, config),
        "learning_curves": learning_curves(results, config),
        "rung_survival": _survival(results, config),
        "param_importances": _importances(importances, settings, lacking),
        "parallel_coordinate": parallel_coordinates(results, settings, names),
        "slice": slices(results, settings, names),
    }
    if len(settings.objectives) > 1:
        found["pareto_front"] = _pareto(results, settings)
    return found


def effort(results: Sequence[TrialResult], config: StudyConfig) -> list[float]:
    """Return the training cost of each trial in multiply-accumulates, relative to a full epoch of trial 0."""
    baseline = next((result.cost.get("macs", 0) for result in results), 0)
    taken = [0.0, *accumulate(shares(config.rungs))]
    return [
        taken[len(result.history)] * result.cost["macs"] / baseline if result.trained and baseline else 0.0
        for result in results
    ]


def _over_trials(results: Sequence[TrialResult], settings: SearchParams) -> Figure:
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
    _legend(figure, axes)
    return figure


def _over_effort(results: Sequence[TrialResult], config: StudyConfig) -> Figure:
    spent = list(accumulate(effort(results, config)))
    figure, axes = _history(results, spent, config.settings, "Training effort")
    axes.set_xlabel("cumulative effort, in epochs of trial 0 (by multiply-accumulates)")
    _legend(figure, axes)
    return figure


def over_wall_time(results: Sequence[TrialResult], settings: SearchParams) -> Figure:
    """Plot the history over wall time. This is the only plot that differs between equal studies."""
    ended = sorted((result for result in results if result.ended), key=lambda result: result.ended or 0.0)
    first = min((result.started for result in ended), default=0.0)
    seconds = [(result.ended or 0.0) - first for result in ended]
    unit, length = next(each for each in _UNITS if max(seconds, default=0.0) >= each[1] or each[1] == 1)
    figure, axes = _history(ended, [each / length for each in seconds], settings, "Wall time")
    axes.set_xlabel(f"{unit} since the first trial was created, including interruptions")
    _legend(figure, axes)
    return figure


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


def _legend(figure: Figure, axes: Axes) -> None:
    """Add the legend of the given axes at the bottom of the figure."""
    handles, texts = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, texts, frameon=False, loc="outside lower center", ncols=3)


def _survival(results: Sequence[TrialResult], config: StudyConfig) -> Figure:
    """Plot the number of trials that reached each rung, and the distribution of their values there."""
    places, settings = config.rungs, config.settings
    objective = settings.objectives[0]
    trained = [result for result in results if result.trained]
    found = [[at_rung(result, rung, objective) for result in trained] for rung in places]
    values = [[value for value in column if value is not None] for column in found]
    if not values[0]:
        return sentence("Rungs", "no trial was trained")
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))
    bars = left.bar(range(len(places)), [len(column) for column in values], width=0.6, color=COMPLETE)
    left.bar_label(bars, padding=2)
    left.set(ylabel="trials", title="Trials per rung")
    left.yaxis.set_major_locator(MaxNLocator(integer=True))
    left.margins(y=0.1)
    for place, column in enumerate(values):
        aside = [place + 0.035 * (number % _COLUMNS - _COLUMNS // 2) for number in range(len(column))]
        right.scatter(aside, column, s=14, color=COMPLETE, alpha=0.5, linewidths=0)
        if column:
            right.hlines(np.median(column), place - 0.3, place + 0.3, color=BEST, linewidth=1.8)
            for quartile in np.quantile(column, (0.25, 0.75)):
                right.hlines(quartile, place - 0.22, place + 0.22, color=MUTED, linewidth=1)
    ended = [first_value(each, settings) for each in of_state(results, "complete")]
    limits = range_that_matters(ended, direction(objective) == "maximize")
    if limits is not None:
        right.set_ylim(*limits)
        for place, column in enumerate(values):
            mark_beyond(right, [place] * len(column), column, direction(objective) == "maximize")
    right.set(ylabel=label(objective), title="Values at each rung")
    right.set_xlim(-0.6, len(places) - 0.4)
    for axes in (left, right):
        axes.set_xticks(range(len(places)), [_rung_name(rung) for rung in places])
        axes.set_xlabel("epoch" if settings.fidelity == "epochs" else "epoch and fraction of the training images")
        plain(axes)
    return figure


def _rung_name(rung: Rung) -> str:
    return f"{rung.epoch}" + ("" if rung.share == 1 else f"\n{rung.share:.0%}")


def _importances(importances: dict[str, Importance], settings: SearchParams, lacking: str) -> Figure:
    if not importances:
        return sentence("Parameter importances", lacking)
    figure = Figure(figsize=(6.4, 1.2 + 0.3 * min(len(importances), MOST_SLICES)), layout="constrained")
    axes = figure.subplots()
    names = list(importances)[:MOST_SLICES][::-1]
    shown = [importances[name] for name in names]
    reach = [[each.share - each.low for each in shown], [each.high - each.share for each in shown]]
    axes.barh(
        names, [each.share for each in shown], xerr=np.maximum(reach, 0.0), color=COMPLETE, ecolor=MUTED, capsize=3
    )
    for place, each in enumerate(shown):
        axes.annotate(
            f"{each.share:.2f}", (max(each.high, each.share), place), (5, 0), textcoords="offset points", va="center"
        )
    what = f"importance for the best third by {label(settings.objectives[0])} (PED-ANOVA, 5th to 95th percentile)"
    axes.set(xlabel=what, title="Parameter importances")
    axes.margins(y=0.02)
    axes.set_xlim(0, max(max(each.high, each.share) for each in shown) * 1.15 or 1.0)
    plain(axes)
    return figure


def _pareto(results: Sequence[TrialResult], settings: SearchParams) -> Figure:
    """Plot the first objective against each of the others, with the Pareto front."""
    first, *others = settings.objectives
    complete = of_state(results, "complete")
    if not complete:
        return sentence("Pareto front", "no trial completed")
    front = pareto_front(results, settings.objectives)
    numbers = {result.number for result in front}
    best = best_of(results, settings)
    columns = min(2, len(others))
    rows = -(-len(others) // columns)
    figure = Figure(figsize=(8, 0.8 + (4 if columns == 1 else 3.2) * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place >= len(others):
            axes.set_visible(False)
            continue
        other = others[place]
        beaten = [result for result in complete if result.number not in numbers]
        ordered = ordered_by(front, other)
        if len(others) == 1:  # with more objectives, the projection of the front is not a line
            step = "post" if direction(other) == "minimize" else "pre"
            axes.step(*_pairs(ordered, other, first), where=step, color=COMPLETE, linewidth=1.2)
        axes.scatter(*_pairs(beaten, other, first), s=24, facecolors="none", edgecolors=PRUNED, label="dominated")
        axes.scatter(*_pairs(ordered, other, first), s=34, color=COMPLETE, zorder=3, label="on the front")
        if best is not None:
            axes.scatter(
                *_pairs([best], other, first), s=130, facecolors="none", edgecolors=BEST, linewidths=1.8, label="chosen"
            )
        scale_along(axes, [result.objective(other) for result in complete])
        axes.set_xlabel(label(other))
        if place % columns == 0:
            axes.set_ylabel(label(first))
        plain(axes)
    _legend(figure, grid[0][0])
    figure.suptitle("Pareto front")
    return figure


def _pairs(some: Sequence[TrialResult], along: str, up: str) -> tuple[list[float], list[float]]:
    return [result.objective(along) for result in some], [result.objective(up) for result in some]
