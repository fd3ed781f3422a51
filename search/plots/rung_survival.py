"""Plot how many trials reached each rung."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.plots.axes import plain, sentence
from pipeline.plots.colours import MUTED
from search.analysis.trials_csv import at_rung
from search.plots.ranges import mark_beyond, range_that_matters
from search.plots.style import BEST, COMPLETE, first_value, label, of_state
from search.study.config import StudyConfig
from search.study.results import TrialResult, direction
from search.study.rungs import Rung

# The points of a rung are spread over this many columns, so that they overlap less.
_COLUMNS = 7


def rung_survival(results: Sequence[TrialResult], config: StudyConfig) -> Figure:
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
        axes.set_xlabel(
            "epoch" if settings.fidelity == "epochs" else f"epoch and fraction of the training {config.words.many}"
        )
        plain(axes)
    return figure


def _rung_name(rung: Rung) -> str:
    return f"{rung.epoch}" + ("" if rung.share == 1 else f"\n{rung.share:.0%}")
