"""What became of each trial, read back from the study."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pipeline.cnn.candidate import Candidate
from pipeline.params.space import Scalar
from search.job import Epoch

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

State = Literal["complete", "pruned", "infeasible", "failed", "running"]

# User attributes of a trial.
PROPOSAL = "proposal"
COST = "cost"
HISTORY = "history"
REASON = "reason"
INFEASIBLE = "infeasible"


@dataclass(frozen=True)
class TrialResult:
    """A trial of the study.

    Attributes:
        state: `pruned` was trained in part, `infeasible` not at all.
        reason: why it did not complete, empty if it did.
        drawn: the sampler's values by name.
        candidate: what they came to, clipped to what fits; for trial 0, the baseline.
        cost: params, trainable_params, macs, activation_bytes and receptive_field.
        history: metrics of each trained epoch.
        rungs: validation accuracy by epoch, at each rung.
    """

    number: int
    state: State
    reason: str
    drawn: dict[str, Scalar]
    candidate: Candidate
    cost: dict[str, int]
    history: tuple[Epoch, ...]
    rungs: dict[int, float]

    @property
    def trained(self) -> bool:
        """Whether it counts against `search.trials`."""
        return self.state in ("complete", "pruned", "failed")

    @property
    def val_accuracy(self) -> float | None:
        """Validation accuracy at the last rung it reached."""
        return self.rungs[max(self.rungs)] if self.rungs else None


def read_trial(trial: "FrozenTrial") -> TrialResult | None:
    """A trial of the study; None if it was not even drawn yet."""
    attributes = trial.user_attrs
    if COST not in attributes:
        return None
    states: dict[str, State] = {
        "COMPLETE": "complete",
        "PRUNED": "infeasible" if attributes.get(INFEASIBLE) else "pruned",
        "FAIL": "failed",
    }
    rungs = {int(epoch): float(value) for epoch, value in sorted(trial.intermediate_values.items())}
    return TrialResult(
        number=trial.number,
        state=states.get(trial.state.name, "running"),
        reason="" if trial.state.name == "COMPLETE" else str(attributes.get(REASON, "")),
        drawn=dict(trial.params),
        candidate=revive(attributes[PROPOSAL]),
        cost=dict(attributes[COST]),
        history=tuple(attributes.get(HISTORY, ())),
        rungs=rungs,
    )


def revive(proposal: Any) -> Candidate:
    """The candidate in a trial's user attributes."""
    return Candidate.model_validate_json(json.dumps(proposal))


def until_trials(results: Sequence[TrialResult], trials: int) -> tuple[TrialResult, ...]:
    """The results, in order, up to the one that completes `trials` trained ones.

    A study that once ran with more trials reports what it would have reported then.
    """
    kept: list[TrialResult] = []
    for result in results:
        if sum(each.trained for each in kept) == trials:
            break
        kept.append(result)
    return tuple(kept)


def best_of(results: Sequence[TrialResult]) -> TrialResult | None:
    """The completed trial with the highest value; of equals the one with fewer parameters, then the earlier one."""
    complete = [result for result in results if result.state == "complete"]
    if not complete:
        return None
    return min(complete, key=lambda result: (-(result.val_accuracy or 0.0), result.cost["params"], result.number))


def line(result: TrialResult) -> str:
    """A trial in one line of the terminal."""
    accuracy = "      " if result.val_accuracy is None else f"{result.val_accuracy:.4f}"
    size = f"{result.cost['params']:>9,} params" if result.cost else " " * 16
    what = "baseline: " if result.number == 0 else ""
    why = f" ({result.reason})" if result.reason and result.state != "pruned" else ""
    return f"trial {result.number:>3}  {result.state:<10}  {accuracy}  {size}  {what}{in_words(result.candidate)}{why}"


def in_words(candidate: Candidate) -> str:
    """A candidate in one short line."""
    parts = []
    for block in candidate.architecture.blocks:
        convs = f"{block.convs}×" if block.convs > 1 else ""
        pooling = "" if block.pooling == "none" else f" {block.pooling} {_extent(block.pool_size)}"
        strides = "" if block.strides == 1 else f"/{_extent(block.strides)}"
        parts.append(f"{convs}conv {_extent(block.kernel_size)}{strides} {block.filters}{pooling}")
    head = candidate.architecture.head
    parts.append(" ".join([head.kind.replace("_", " "), *(str(units) for units in head.dense)]))
    parts += [f"{key} {_short(value)}" for key, value in candidate.training.items()]
    return ", ".join(parts)


def _extent(extent: object) -> str:
    return "×".join(str(size) for size in extent) if isinstance(extent, tuple) else str(extent)


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
