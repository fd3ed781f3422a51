"""How a study's values are named, written and coloured, in its pictures and on its page."""

from collections.abc import Sequence
from typing import Any

from pipeline.params import SearchParams
from pipeline.params.search import QUALITIES
from pipeline.plots.colours import BLUE, GREY, RED
from search.study.results import State, TrialResult

# In the order in which they are told and drawn.
STATES: tuple[State, ...] = ("complete", "pruned", "reused", "infeasible", "failed")

COMPLETE, PRUNED, BEST = BLUE, GREY, RED

_LABELS = {
    "val_accuracy": "validation accuracy",
    "val_loss": "validation loss",
    "val_macro_f1": "validation macro F1",
    "params": "parameters",
    "macs": "MACs per image",
    "latency_ms": "latency in ms",
}


def label(objective: str) -> str:
    """An objective's name for a reader."""
    return _LABELS[objective]


def written(objective: str, value: float) -> str:
    """An objective's value for a reader."""
    if objective in QUALITIES:
        return f"{value:.4f}"
    return f"{value:.3g}" if objective == "latency_ms" else f"{value:,.0f}"


def named(objective: str, value: float) -> str:
    """An objective's name and value for a reader."""
    if objective == "latency_ms":
        return f"latency {written(objective, value)} ms"
    name, figure = label(objective), written(objective, value)
    return f"{name} {figure}" if objective in QUALITIES else f"{figure} {name}"


def value_of(result: TrialResult, objective: str) -> float | None:
    """A trial's value after its last epoch; None if it has none."""
    try:
        return result.objective(objective)
    except KeyError:
        return None


def first_value(result: TrialResult, settings: SearchParams) -> float:
    """The value by which a trial with a history is judged."""
    return result.objective(settings.objectives[0])


def of_state(results: Sequence[TrialResult], *states: State) -> list[TrialResult]:
    """The trials that ended so, in order."""
    return [result for result in results if result.state in states]


def ordered_by(results: Sequence[TrialResult], objective: str) -> list[TrialResult]:
    """Trials with the least value of an objective first, of equals the earlier one."""
    return sorted(results, key=lambda result: (result.objective(objective), result.number))


def choice_name(value: Any) -> str:
    """A drawn value for a reader."""
    return str(value).lower() if isinstance(value, bool) else f"{value:.3g}" if isinstance(value, float) else str(value)


def is_number(value: Any) -> bool:
    """Whether a drawn value has a place on a scale."""
    return isinstance(value, int | float) and not isinstance(value, bool)
