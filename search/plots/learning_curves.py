"""Learning curves: the first objective of each trial after each epoch."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.params import SearchParams
from pipeline.plots.axes import plain, sentence
from pipeline.plots.colours import FAINT
from search.plots.ranges import range_that_matters
from search.plots.style import BEST, COMPLETE, PRUNED, first_value, label, of_state
from search.study.config import StudyConfig
from search.study.results import TrialResult, best_of, direction

_MAX_NAMED = 5
_CLOSE = 0.055  # fraction of the axis height; labels of curves that end closer would overlap


def learning_curves(results: Sequence[TrialResult], config: StudyConfig) -> Figure:
    """Plot the learning curve of each trained trial, the chosen one in red, with the rungs as dotted lines.

    Args:
        results: All trials of the study.
        config: The constants of the study.
    """
    settings = config.settings
    objective = settings.objectives[0]
    maximize = direction(objective) == "maximize"
    complete, pruned = of_state(results, "complete"), [each for each in of_state(results, "pruned") if each.history]
    if not (complete or pruned):
        return sentence("Learning curves", "no trial was trained")
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    chosen = best_of(results, settings)
    for rung in config.rungs:
        axes.axvline(rung.epoch, color=FAINT, linestyle=":", linewidth=0.9)
    for some, color, name in ((pruned, PRUNED, "pruned"), (complete, COMPLETE, "complete")):
        for number, result in enumerate(some):
            if chosen is None or result.number != chosen.number:
                _curve(axes, result, objective, color, 1.1, "" if number else name)
    if chosen is not None:
        _curve(axes, chosen, objective, BEST, 2.2, "chosen")
    best = sorted(complete, key=lambda each: first_value(each, settings), reverse=maximize)[:_MAX_NAMED]
    limits = range_that_matters([first_value(each, settings) for each in complete], maximize)
    if limits is not None:
        axes.set_ylim(*limits)
    _name(axes, best, settings)
    axes.set(xlabel="epoch", ylabel=label(objective), title="Learning curves (dotted: rungs)")
    axes.set_xlim(0.8, settings.epochs * 1.2 + 0.2)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    plain(axes)
    figure.legend(frameon=False, loc="outside lower center", ncols=3)
    return figure


def _curve(axes: Axes, result: TrialResult, objective: str, color: str, width: float, name: str) -> None:
    epochs = [epoch["epoch"] for epoch in result.history]
    values = [epoch[objective] for epoch in result.history]
    single = "o" if len(epochs) == 1 else None  # a line with one point would be invisible
    axes.plot(
        epochs, values, color=color, linewidth=width, alpha=0.8, marker=single, markersize=3, label=name or "_",
        zorder=3 if name == "chosen" else 2,
    )  # fmt: skip


def _name(axes: Axes, best: Sequence[TrialResult], settings: SearchParams) -> None:
    """Label the curve ends of the best trials with their numbers. Curves that end close together share a label."""
    axes.autoscale_view()
    low, high = axes.get_ylim()
    together: list[list[TrialResult]] = []
    for result in sorted(best, key=lambda each: -first_value(each, settings)):
        height = first_value(result, settings)
        if not low <= height <= high:
            continue  # the curve ends outside the axes
        if together and first_value(together[-1][0], settings) - height < (high - low) * _CLOSE:
            together[-1].append(result)
        else:
            together.append([result])
    for some in together:
        heights = [first_value(each, settings) for each in some]
        end = (max(each.history[-1]["epoch"] for each in some), sum(heights) / len(heights))
        name = axes.annotate(
            ", ".join(f"{each.number}" for each in some), end, xytext=(5, 0), textcoords="offset points",
            fontsize=8, va="center", annotation_clip=False,
        )  # fmt: skip
        name.set_in_layout(False)  # the right margin already has room for it
