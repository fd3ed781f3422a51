"""The results of trials, read from the study."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from pipeline.cnn.candidate import Candidate
from pipeline.errors import UserError, message_of
from pipeline.params.search import OBJECTIVES, QUALITIES, Direction, SearchParams
from pipeline.params.space import Scalar
from search.study.job import Epoch

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

State = Literal["complete", "pruned", "reused", "infeasible", "failed", "running"]

BASELINE = 0  # number of the baseline's trial

# Keys of a trial's user attributes.
PROPOSAL = "proposal"
COST = "cost"
TRAINED = "trained"
REASON = "reason"
INFEASIBLE = "infeasible"
REUSED = "reused"
STARTED = "started"
PASSED = "passed"

# The metrics of a training with another seed that diverged. They are worse than those of any that did not.
DIVERGED: Epoch = {"epoch": 0, "val_accuracy": 0.0, "val_loss": 1e9, "val_macro_f1": 0.0, "val_balanced_accuracy": 0.0}


@dataclass(frozen=True)
class TrialResult:
    """A trial of the study and its result.

    Attributes:
        number: Number of the trial, from 0.
        state: `pruned` was trained in part, `infeasible` not at all; `reused` has the result of an equal candidate.
        reason: Why the trial did not complete or was not trained. Empty if it completed.
        drawn: The values that the sampler drew, by variable.
        candidate: The candidate, clipped to fit the input. For trial 0, the baseline.
        cost: params, trainable_params, macs, activation_bytes, receptive_field, and latency_ms if it was measured.
        history: Metrics of each trained epoch.
        started: When the training started, or else when the trial was created, in seconds since 1970.
        ended: When the trial ended, in seconds since 1970. None if it has not ended.
        seconds: Wall time of the training.
        compute_dtype: The dtype of the training, `float32` or `bfloat16`. Empty if the trial was not trained.
        finals: Metrics after the last epoch of each training with another seed. Empty if the trial is no finalist.
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
    compute_dtype: str = ""
    finals: tuple[Epoch, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether the trial counts against `search.trials`."""
        return self.state in ("complete", "pruned", "reused", "failed")

    @property
    def trained(self) -> bool:
        """Whether the trial was trained, at least in part."""
        return self.state in ("complete", "pruned", "failed")

    @property
    def kind(self) -> str:
        """The state; for a failed trial with the class of the failure, such as `failed (diverged)`."""
        return f"failed ({self.reason.partition(':')[0]})" if self.state == "failed" else self.state

    @property
    def diverged(self) -> int:
        """Number of the further training runs that diverged."""
        return self.finals.count(DIVERGED)

    @property
    def val_accuracy(self) -> float | None:
        """Validation accuracy after the last epoch, or None if no epoch was trained."""
        return self.history[-1]["val_accuracy"] if self.history else None

    def objective(self, name: str) -> float:
        """Return the value of an objective after the last epoch.

        Raises:
            KeyError: The trial has no value for the objective.
        """
        if name in QUALITIES:
            if not self.history:
                raise KeyError(name)
            return self.history[-1][name]
        return float(self.cost[name])

    def decisive(self, name: str) -> float:
        """Return the value of an objective that decides on the winner: for a finalist, the mean of its further training
        runs.

        If one of them diverged, it is the worst possible value.

        Raises:
            KeyError: The trial has no value for the objective.
        """
        if self.diverged and name in QUALITIES:
            return DIVERGED[name]
        if self.finals and name in QUALITIES:
            return fmean(epoch[name] for epoch in self.finals)
        return self.objective(name)


def direction(objective: str) -> Direction:
    """Return the direction in which Optuna optimizes an objective."""
    return OBJECTIVES[objective]  # type: ignore[index]


def read_trial(trial: "FrozenTrial") -> TrialResult | None:
    """Convert an Optuna trial, or return None if it has not started.

    Raises:
        UserError: The trial does not have the attributes that a study writes.
    """
    if trial.datetime_start is None:
        return None
    try:
        return _read_trial(trial, trial.datetime_start.timestamp())
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise lost_attributes(trial, message_of(error)) from None


def lost_attributes(trial: "FrozenTrial", reason: str) -> UserError:
    """Return the error for a trial that does not have the attributes that a study writes."""
    return UserError(
        f"trial {trial.number} of the study: must have the attributes that a study writes, got "
        f"{', '.join(sorted(trial.user_attrs)) or 'none'} ({reason}); restore the database from a copy, or move it "
        "aside to start over"
    )


def _read_trial(trial: "FrozenTrial", created: float) -> TrialResult:
    attributes = trial.user_attrs
    trained = attributes.get(TRAINED, {"epochs": (), "seconds": 0.0})
    return TrialResult(
        number=trial.number,
        state=_state(trial),
        reason="" if trial.state.name == "COMPLETE" and REUSED not in attributes else str(attributes.get(REASON, "")),
        drawn=dict(trial.params),
        candidate=candidate_from_attrs(attributes[PROPOSAL]),
        cost=dict(attributes[COST]),
        history=tuple(trained["epochs"]),
        started=attributes.get(STARTED, {}).get("clock", created),
        ended=None if trial.datetime_complete is None else trial.datetime_complete.timestamp(),
        seconds=float(trained["seconds"]),
        compute_dtype=str(trained.get("compute_dtype", "")),
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


def candidate_from_attrs(proposal: Any) -> Candidate:
    """Return the candidate that is stored in a trial's user attributes."""
    return Candidate.model_validate_json(json.dumps(proposal))


def ranked(results: Iterable[TrialResult], objective: str) -> list[TrialResult]:
    """Sort the completed trials by an objective, best first; ties by fewer parameters, then by lower number."""
    sign = -1.0 if direction(objective) == "maximize" else 1.0
    complete = (result for result in results if result.state == "complete")
    return sorted(complete, key=lambda each: (sign * each.objective(objective), each.cost["params"], each.number))


def best_of(results: Iterable[TrialResult], settings: SearchParams) -> TrialResult | None:
    """Return the winner by the first objective and `search.choose`, or None if no trial completed.

    If there are finalists, it is one of them.
    """
    quality = settings.objectives[0]
    complete = ranked(results, quality)
    sign = -1.0 if direction(quality) == "maximize" else 1.0
    contenders = [each for each in complete if each.finals] or complete
    contenders.sort(key=lambda each: sign * each.decisive(quality))  # of equal ones, the first stays first
    if not contenders or settings.choose == "best":
        return contenders[0] if contenders else None
    near = within_tolerance(contenders, [each.decisive(quality) for each in contenders], settings)
    return cheapest_first(near, settings)[0]


def within_tolerance(
    results: Sequence[TrialResult], values: Sequence[float], settings: SearchParams
) -> list[TrialResult]:
    """Return the trials whose values differ by at most `search.tolerance` from that of the first one, the best."""
    limit = settings.tolerance + 1e-12
    return [each for each, value in zip(results, values, strict=True) if abs(value - values[0]) <= limit]


def cheapest_first(results: Iterable[TrialResult], settings: SearchParams) -> list[TrialResult]:
    """Sort trials by the first objective that is a cost, or else by their parameters. Equal ones keep their order."""
    cost = next((name for name in settings.objectives[1:] if name not in QUALITIES), "params")
    return sorted(results, key=lambda each: each.objective(cost))


def pareto_front(results: Sequence[TrialResult], objectives: Sequence[str]) -> tuple[TrialResult, ...]:
    """Return the completed trials that no other completed trial dominates, in order."""
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
