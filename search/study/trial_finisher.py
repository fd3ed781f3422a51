"""An active trial, and the code that finishes it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import optuna
from optuna.trial import FrozenTrial, TrialState

from pipeline.cnn.candidate import Candidate
from search.space.feasibility import Feasibility, over_budget, too_slow
from search.study.config import StudyConfig
from search.study.prunable import PrunableStudy
from search.study.pruner import pruned_before
from search.study.results import BASELINE, COST, INFEASIBLE, PASSED, REASON, REUSED, TRAINED, TrialResult, read_trial
from search.study.tally import StudyTally


@dataclass
class ActiveTrial:
    """A trial that is not finished.

    Attributes:
        trial: The trial in the study.
        pruning_trial: The trial in the pruning study. It is `trial` itself if there is only one objective.
        candidate: The effective candidate.
        cost: Costs of the candidate, by name.
        first_rung_cost: Nominal seconds of the first rung.
        done: Number of finished rungs.
        started: Nominal time of the start. None if the trial is waiting.
        original: Number of the trial with an equal candidate whose result this trial waits for. None if there is none.
        state: Training state after the last finished rung. None if there is none.
        seconds: Wall time of the finished rungs.
        retries: Number of retries of the current rung.
    """

    trial: optuna.Trial
    pruning_trial: optuna.Trial
    candidate: Candidate
    cost: dict[str, float]
    first_rung_cost: float
    done: int = 0
    started: float | None = None
    original: int | None = None
    state: bytes | None = field(default=None, repr=False)
    seconds: float = 0.0
    retries: int = 0


class TrialFinisher:
    """Finishes trials in the study and enters them into the tally.

    Args:
        config: The constants of the study.
        studies: The study and its pruning study.
        tally: The tally of the study.
    """

    def __init__(self, config: StudyConfig, studies: PrunableStudy, tally: StudyTally) -> None:
        self._settings = config.settings
        self._kind = config.kind
        self._rungs = config.rungs
        self._first_trials = config.first_trials
        self._studies = studies
        self._tally = tally

    def after_rung(self, active: ActiveTrial, left: FrozenTrial | None = None) -> bool:
        """Complete a trial whose rung was reported, prune it, or let it continue.

        The baseline is never pruned, so that a study never returns a worse network than the baseline (with `choose:
        cheapest`, not worse than `search.tolerance` allows). The pruner is called nevertheless, because at each rung it
        stores the value with which later trials compete.

        Args:
            active: The trial.
            left: The trial as an earlier process left it. That process may have called the pruner without finishing the
                trial. None if the rung was reported by this process.

        Returns:
            Whether the trial is finished.
        """
        trial = active.trial
        if active.done == len(self._rungs):
            last = trial.user_attrs[TRAINED]["epochs"][-1]
            values = [float(last[name] if name in last else active.cost[name]) for name in self._settings.objectives]
            self._tell(active, TrialState.COMPLETE, values)
            return True
        pruned = None if left is None else pruned_before(self._studies.pruning, left)
        if pruned is None:
            pruned = active.pruning_trial.should_prune()
        pruned = pruned and trial.number != BASELINE
        rung = self._rungs[active.done - 1]
        if pruned:
            trial.set_user_attr(REASON, f"pruned after epoch {rung.epoch}: others did better")
            self._tell(active, TrialState.PRUNED)
        else:
            trial.set_user_attr(PASSED, rung.resource)
        return pruned

    def fail(self, active: ActiveTrial, reason: str) -> None:
        """Finish a trial as failed."""
        active.trial.set_user_attr(REASON, reason)
        self._tell(active, TrialState.FAIL)

    def reject(self, active: ActiveTrial, verdict: Feasibility) -> None:
        """Finish a trial whose candidate does not fit, and set its violations as Optuna constraints.

        Raises:
            UserError: The user specified the candidate in params.yaml.
        """
        trial = active.trial
        if trial.number < len(self._first_trials):
            raise over_budget(self._first_trials[trial.number].place, verdict)
        for key, violation in verdict.violations.items():
            if key not in trial.constraints:
                trial.set_constraint(key, violation)
        trial.set_user_attr(INFEASIBLE, True)
        trial.set_user_attr(REASON, verdict.sentence)
        self._tell(active, TrialState.PRUNED)

    def reuse(self, active: ActiveTrial, original: TrialResult) -> None:
        """Finish a trial with the result of an earlier trial that has an equal candidate and did not fail."""
        trial = active.trial
        trial.set_user_attr(COST, original.cost)
        if original.state == "infeasible":  # its measured latency was too high
            self.reject(active, too_slow(original.cost, self._settings.budget, self._kind))
            return
        trial.set_user_attr(REUSED, original.number)
        trained = {"epochs": list(original.history), "seconds": 0.0, "compute_dtype": original.compute_dtype}
        trial.set_user_attr(TRAINED, trained)
        trial.set_user_attr(REASON, f"same candidate as trial {original.number}, whose result is reused")
        quality, *_ = self._settings.objectives
        if active.pruning_trial is trial:  # so that TPE can rank it
            reported = self._studies.frozen(trial.number).intermediate_values  # by a process that was killed
            for rung in self._rungs:
                if rung.epoch <= len(original.history) and rung.resource not in reported:
                    trial.report(original.history[rung.epoch - 1][quality], rung.resource)
        if original.state == "complete":
            self._tell(active, TrialState.COMPLETE, [original.objective(name) for name in self._settings.objectives])
        else:
            self._tell(active, TrialState.PRUNED)

    def _tell(self, active: ActiveTrial, state: TrialState, values: Sequence[float] | None = None) -> None:
        result = read_trial(self._studies.tell(active.trial, active.pruning_trial, state, values))
        if result is not None:
            self._tally.enter(result)
