"""Names, number formats and colours of a study's values in its plots and on its page."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.data.kind import KINDS, KindWords
from pipeline.params import SearchParams
from pipeline.params.search import QUALITIES
from pipeline.plots.colours import BLUE, GREY, RED
from search.study.results import State, TrialResult

# In the order in which reports and plots show them.
STATES: tuple[State, ...] = ("complete", "pruned", "reused", "infeasible", "failed")

COMPLETE, PRUNED, BEST = BLUE, GREY, RED

# The display name of each objective.
LABELS = {
    "val_accuracy": "validation accuracy",
    "val_loss": "validation loss",
    "val_macro_f1": "validation macro F1",
    "val_balanced_accuracy": "validation balanced accuracy",
    "params": "parameters",
    "macs": "MACs per {one}",
    "latency_ms": "latency in ms",
}


def label(objective: str, words: KindWords = KINDS["image"]) -> str:
    """Return the display name of an objective. `words` is what readers call the samples."""
    return LABELS[objective].format(one=words.one)


def written(objective: str, value: float) -> str:
    """Format the value of an objective."""
    if objective in QUALITIES:
        return f"{value:.4f}"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.3g}"


def named(objective: str, value: float, words: KindWords = KINDS["image"]) -> str:
    """Format the name and the value of an objective."""
    if objective == "latency_ms":
        return f"latency {written(objective, value)} ms"
    name, figure = label(objective, words), written(objective, value)
    return f"{name} {figure}" if objective in QUALITIES else f"{figure} {name}"


def value_of(result: TrialResult, objective: str) -> float | None:
    """Return a trial's value of an objective after its last epoch, or None if it has none."""
    try:
        return result.objective(objective)
    except KeyError:
        return None


def first_value(result: TrialResult, settings: SearchParams) -> float:
    """Return the first objective of a trial, which must have a history."""
    return result.objective(settings.objectives[0])


def of_state(results: Sequence[TrialResult], *states: State) -> list[TrialResult]:
    """Return the trials in the given states, in order."""
    return [result for result in results if result.state in states]


def ordered_by(results: Sequence[TrialResult], objective: str) -> list[TrialResult]:
    """Sort trials by an objective in ascending order, and equal ones by number."""
    return sorted(results, key=lambda result: (result.objective(objective), result.number))


def choice_name(value: Any) -> str:
    """Format a drawn value."""
    return str(value).lower() if isinstance(value, bool) else f"{value:.3g}" if isinstance(value, float) else str(value)


def is_number(value: Any) -> bool:
    """Return whether a drawn value is a number and not a boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def legend(figure: Figure, axes: Axes) -> None:
    """Add the legend of the given axes at the bottom of the figure."""
    handles, texts = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, texts, frameon=False, loc="outside lower center", ncols=3)
