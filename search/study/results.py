"""What became of each trial, read back from the study."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pipeline.cnn.candidate import Candidate
from pipeline.params.search import QUALITIES, SearchParams
from pipeline.params.space import Scalar
from search.study.job import Epoch

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

Direction = Literal["minimize", "maximize"]
State = Literal["complete", "pruned", "reused", "infeasible", "failed", "running"]

BASELINE = 0  # number of its trial

# User attributes of a trial.
PROPOSAL = "proposal"
COST = "cost"
TRAINED = "trained"
REASON = "reason"
INFEASIBLE = "infeasible"
REUSED = "reused"
STARTED = "started"
PASSED = "passed"


@dataclass(frozen=True)
class TrialResult:
    """A trial of the study.

    Attributes:
        state: `pruned` was trained in part, `infeasible` not at all; `reused` has the result of an equal candidate.
        reason: why it did not complete, empty if it did.
        drawn: the sampler's values by name.
        candidate: what they came to, clipped to what fits; for trial 0, the baseline.
        cost: params, trainable_params, macs, activation_bytes, receptive_field, and latency_ms where it was measured.
        history: metrics of each trained epoch.
        started: when its training began, or else when it was asked for, in seconds since 1970.
        ended: when it was over, likewise; None: it is not.
        seconds: that its training took, by the clock.
    """

    number: int
    state: State
    reason: str
    drawn: dict[str, Scalar]
    candidate: Candidate
    cost: dict[str, float]
    history: tuple[Epoch, ...]
    started: float
    ended: float | None
    seconds: float

    @property
    def counts(self) -> bool:
        """Whether it counts against `search.trials`."""
        return self.state in ("complete", "pruned", "reused", "failed")

    @property
    def trained(self) -> bool:
        """Whether it was trained, in part at least."""
        return self.state in ("complete", "pruned", "failed")

    @property
    def kind(self) -> str:
        """Its state; of a failed one with the class of the failure, such as `failed (diverged)`."""
        return f"failed ({self.reason.partition(':')[0]})" if self.state == "failed" else self.state

    @property
    def val_accuracy(self) -> float | None:
        """Validation accuracy after its last epoch."""
        return self.history[-1]["val_accuracy"] if self.history else None

    def objective(self, name: str) -> float:
        """The value of an objective, after its last epoch.

        Raises:
            KeyError: it has none.
        """
        if name in QUALITIES:
            if not self.history:
                raise KeyError(name)
            return self.history[-1][name]
        return float(self.cost[name])


def direction(objective: str) -> Direction:
    """What Optuna is to do with an objective."""
    return "maximize" if objective in ("val_accuracy", "val_macro_f1") else "minimize"


def read_trial(trial: "FrozenTrial") -> TrialResult | None:
    """A trial of the study; None if it was not even drawn yet."""
    attributes = trial.user_attrs
    if COST not in attributes or trial.datetime_start is None:
        return None
    trained = attributes.get(TRAINED, {"epochs": (), "seconds": 0.0})
    return TrialResult(
        number=trial.number,
        state=_state(trial),
        reason="" if trial.state.name == "COMPLETE" and REUSED not in attributes else str(attributes.get(REASON, "")),
        drawn=dict(trial.params),
        candidate=revive(attributes[PROPOSAL]),
        cost=dict(attributes[COST]),
        history=tuple(trained["epochs"]),
        started=attributes.get(STARTED, {}).get("clock", trial.datetime_start.timestamp()),
        ended=None if trial.datetime_complete is None else trial.datetime_complete.timestamp(),
        seconds=float(trained["seconds"]),
    )


def _state(trial: "FrozenTrial") -> State:
    attributes = trial.user_attrs
    match trial.state.name:
        case "COMPLETE" | "PRUNED" if REUSED in attributes:
            return "reused"
        case "COMPLETE":
            return "complete"
        case "PRUNED":
            return "infeasible" if attributes.get(INFEASIBLE) else "pruned"
        case "FAIL":
            return "failed"
        case _:
            return "running"


def revive(proposal: Any) -> Candidate:
    """The candidate in a trial's user attributes."""
    return Candidate.model_validate_json(json.dumps(proposal))


def ranked(results: Iterable[TrialResult], objective: str) -> list[TrialResult]:
    """The completed trials by an objective, the best first; of equals, fewer parameters first, then the earlier one."""
    sign = -1.0 if direction(objective) == "maximize" else 1.0
    complete = (result for result in results if result.state == "complete")
    return sorted(complete, key=lambda each: (sign * each.objective(objective), each.cost["params"], each.number))


def best_of(results: Iterable[TrialResult], settings: SearchParams) -> TrialResult | None:
    """The winner among the completed trials, by the first objective and `search.choose`; None if none completed."""
    quality = settings.objectives[0]
    complete = ranked(results, quality)
    if not complete or settings.choose == "best":
        return complete[0] if complete else None
    best = complete[0].objective(quality)
    near = [each for each in complete if abs(each.objective(quality) - best) <= settings.tolerance + 1e-12]
    first_rung_cost = next((name for name in settings.objectives[1:] if name not in QUALITIES), "params")
    return min(near, key=lambda each: each.objective(first_rung_cost))  # the first, and so the best, of equals


def pareto_front(results: Sequence[TrialResult], objectives: Sequence[str]) -> tuple[TrialResult, ...]:
    """The completed trials that no other one beats in an objective without losing in another, in order."""
    complete = [result for result in results if result.state == "complete"]
    signs = [-1.0 if direction(name) == "maximize" else 1.0 for name in objectives]
    values = {
        result.number: tuple(sign * result.objective(name) for sign, name in zip(signs, objectives, strict=True))
        for result in complete
    }

    def beaten(mine: tuple[float, ...]) -> bool:
        return any(
            other != mine and all(theirs <= own for theirs, own in zip(other, mine, strict=True))
            for other in values.values()
        )

    return tuple(result for result in complete if not beaten(values[result.number]))
