"""A trial in work, and the ways in which it ends."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import optuna
from optuna.trial import FrozenTrial, TrialState

from pipeline.cnn.candidate import Candidate
from pipeline.params import SearchParams
from search.space.feasibility import Feasibility, over_budget, too_slow
from search.study.prunable import PrunableStudy
from search.study.results import BASELINE, COST, INFEASIBLE, PASSED, REASON, REUSED, TRAINED, TrialResult, read_trial
from search.study.rungs import Rung, pruned_before
from search.study.tally import StudyTally


@dataclass
class ActiveTrial:
    """A trial that is not over.

    Attributes:
        trial: in the study.
        judged: in the study that prunes; the same one, where there is one objective.
        price: nominal seconds of its first rung.
        done: rungs it has finished.
        started: nominal time of its start; None: it waits.
        original: the trial with an equal candidate whose result it waits for.
        seconds: that its rungs took, by the clock.
        retries: of the present rung.
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
    """Tells the study how a trial ended, and enters it into the ledger.

    Args:
        studies: of the trials.
        tally: of the study.
        settings: of the study.
        rungs: of the study.
        written: places in params.yaml of the networks of the first trials.
    """

    def __init__(
        self,
        studies: PrunableStudy,
        tally: StudyTally,
        settings: SearchParams,
        rungs: Sequence[Rung],
        written: Sequence[str],
    ) -> None:
        self._studies = studies
        self._tally = tally
        self._settings = settings
        self._rungs = rungs
        self._written = written

    def after_rung(self, active: ActiveTrial, left: FrozenTrial | None = None) -> bool:
        """Complete a trial whose rung was reported, prune it, or let it go on.

        The baseline is never pruned, so that no study returns less than it. The pruner is asked all the same: at each
        rung it notes the value with which later trials compete.

        Args:
            active: the trial.
            left: the trial as an earlier process left it, which may have decided already but not told.

        Returns:
            Whether it is over.
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
        """End a trial that could not be trained."""
        active.trial.set_user_attr(REASON, reason)
        self._tell(active, TrialState.FAIL)

    def reject(self, active: ActiveTrial, verdict: Feasibility) -> None:
        """Tell Optuna, as violated constraints, that a candidate does not fit.

        Raises:
            UserError: the user wrote it.
        """
        trial = active.trial
        if trial.number < len(self._written):
            raise over_budget(self._written[trial.number], verdict)
        for key, violation in verdict.violations.items():
            if key not in trial.constraints:
                trial.set_constraint(key, violation)
        trial.set_user_attr(INFEASIBLE, True)
        trial.set_user_attr(REASON, verdict.sentence)
        self._tell(active, TrialState.PRUNED)

    def share(self, active: ActiveTrial, original: TrialResult) -> None:
        """End a trial as an earlier one with an equal candidate ended, which did not fail."""
        trial = active.trial
        trial.set_user_attr(COST, original.cost)
        if original.state == "infeasible":  # measured too slow
            self.reject(active, too_slow(original.cost, self._settings.budget))
            return
        trial.set_user_attr(REUSED, original.number)
        trial.set_user_attr(TRAINED, {"epochs": list(original.history), "seconds": 0.0})
        trial.set_user_attr(REASON, f"the same candidate as trial {original.number}, whose result it has")
        quality, *_ = self._settings.objectives
        if active.pruning_trial is trial:  # so that TPE can rank it
            reported = self._studies.frozen(trial.number).intermediate_values  # by a process that was killed since
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
