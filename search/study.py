"""The driver of a study: ask, submit a rung, report, prune or promote, tell."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from pipeline.cnn.candidate import Candidate
from pipeline.params import SearchParams, TrainingParams
from pipeline.params.space import Scalar
from pipeline.terminal import UserError
from search.engine import Engine
from search.feasibility import Verdict, judge, nothing_fits
from search.job import Job, Outcome
from search.results import COST, HISTORY, INFEASIBLE, PROPOSAL, REASON, TrialResult, read_trial, revive
from search.rungs import RungStates, pruned_before, rung_epochs

# So many draws in a row without one that fits end a study.
MOST_INFEASIBLE_IN_A_ROW = 200


@dataclass
class _Active:
    """A trial in training."""

    trial: optuna.Trial
    candidate: Candidate
    epoch: int
    state: bytes | None


class Driver:
    """Runs a study to `settings.trials` trained candidates; it alone writes the study's storage.

    Args:
        study: new, or with the trials of an earlier process.
        settings: of the study.
        training: settings of each trial, apart from what it draws; `epochs` are those of the study.
        baseline: trial 0.
        enqueued: values of the space nearest to the baseline.
        propose: the effective candidate of a trial.
        engine: where rungs run.
        states: where rungs leave their state.
        seed: of the whole pipeline.
    """

    def __init__(
        self,
        study: optuna.Study,
        settings: SearchParams,
        training: TrainingParams,
        baseline: Candidate,
        enqueued: dict[str, Scalar],
        propose: Callable[[optuna.Trial], Candidate],
        engine: Engine,
        states: RungStates,
        seed: int,
    ) -> None:
        self._study = study
        self._settings = settings
        self._training = training
        self._baseline = baseline
        self._enqueued = enqueued
        self._propose = propose
        self._engine = engine
        self._states = states
        self._seed = seed
        self._epochs = rung_epochs(settings)

    def results(self) -> tuple[TrialResult, ...]:
        """All trials so far, in order."""
        found = (read_trial(trial) for trial in self._study.get_trials(deepcopy=False))
        return tuple(result for result in found if result is not None)

    def ended(self) -> tuple[TrialResult, ...]:
        """The trials that are over, in order."""
        return tuple(result for result in self.results() if result.state != "running")

    def times(self, number: int) -> tuple[float, float]:
        """When a trial that is over began and ended, in seconds since 1970."""
        trial = self._frozen(number)
        if trial.datetime_start is None or trial.datetime_complete is None:
            raise RuntimeError(f"trial {number} is not over")
        return trial.datetime_start.timestamp(), trial.datetime_complete.timestamp()

    def run(self) -> Iterator[TrialResult]:
        """Go on until enough candidates are trained; yield each trial as it ends.

        Raises:
            UserError: more trials failed than `max_failures`, or nothing drawn fits the budget.
        """
        earlier = self.results()
        trained = sum(result.trained for result in earlier)
        infeasible = _infeasible_at_the_end(earlier)
        self._check_failures()
        if not self._study.get_trials(deepcopy=False):
            self._study.enqueue_trial(self._enqueued)
        left = self._left_running() if trained < self._settings.trials else []
        active: list[_Active] = []
        while True:
            while len(active) < self._engine.workers and (left or trained + len(active) < self._settings.trials):
                trial = left.pop(0) if left else self._study.ask()
                began = self._begin(trial)
                if began is not None:
                    active.append(began)
                    infeasible = 0
                    continue
                result = self._result(trial.number)
                yield result
                trained += result.trained
                infeasible = infeasible + 1 if result.state == "infeasible" else 0
                if infeasible >= MOST_INFEASIBLE_IN_A_ROW:
                    raise UserError(nothing_fits(f"{infeasible} draws in a row", result.reason))
            if not active:
                return
            outcomes = dict(self._engine.run({each.trial.number: self._job(each) for each in active}))
            for each in sorted(active, key=lambda item: item.trial.number):
                if not self._take(each, outcomes[each.trial.number]):
                    continue
                active.remove(each)
                trained += 1
                self._states.remove(each.trial.number)
                yield self._result(each.trial.number)
                self._check_failures()

    def _begin(self, trial: optuna.Trial) -> _Active | None:
        """Draw a trial's candidate, or take up one left running; None if the trial ends at once."""
        if PROPOSAL in trial.user_attrs:
            candidate = revive(trial.user_attrs[PROPOSAL])
        else:
            drawn = self._propose(trial)  # for trial 0 too: Optuna learns from values of the space only
            candidate = self._baseline if trial.number == 0 else drawn
            trial.set_user_attr(PROPOSAL, candidate.model_dump(mode="json"))
        verdict = judge(candidate, self._settings.budget)
        trial.set_user_attr(COST, verdict.cost)
        if verdict.violations:
            self._reject(trial, verdict)
            return None
        frozen = self._frozen(trial.number)
        epoch = max(frozen.intermediate_values, default=0)
        if epoch and self._ends(trial, epoch, left=frozen):
            self._states.remove(trial.number)
            return None
        return _Active(trial, candidate, epoch, self._states.read(trial.number, epoch) if epoch else None)

    def _reject(self, trial: optuna.Trial, verdict: Verdict) -> None:
        """Tell Optuna, as violated constraints, that a candidate does not fit."""
        for key, violation in verdict.violations.items():
            if key not in trial.constraints:
                trial.set_constraint(key, violation)
        trial.set_user_attr(INFEASIBLE, True)
        trial.set_user_attr(REASON, verdict.sentence)
        self._study.tell(trial, state=TrialState.PRUNED)

    def _job(self, active: _Active) -> Job:
        number = active.trial.number
        return Job(
            architecture=active.candidate.architecture,
            training=active.candidate.overlay(self._training),
            seed=int(np.random.SeedSequence([self._seed, number, 1]).generate_state(1)[0]),
            until=next(epoch for epoch in self._epochs if epoch > active.epoch),
            state=active.state,
        )

    def _take(self, active: _Active, outcome: Outcome) -> bool:
        """Enter a rung's outcome into the study; whether the trial is over."""
        trial = active.trial
        if outcome.failure is not None:
            trial.set_user_attr(REASON, f"{outcome.failure}: {outcome.detail}")
            self._study.tell(trial, state=TrialState.FAIL)
            return True
        active.epoch = next(epoch for epoch in self._epochs if epoch > active.epoch)
        active.state = outcome.state
        if active.epoch < self._epochs[-1]:
            self._states.write(trial.number, active.epoch, outcome.state)
        trial.set_user_attr(HISTORY, list(outcome.history))
        trial.report(outcome.history[active.epoch - 1]["val_accuracy"], active.epoch)
        self._states.remove_before(trial.number, active.epoch)
        return self._ends(trial, active.epoch)

    def _ends(self, trial: optuna.Trial, epoch: int, left: FrozenTrial | None = None) -> bool:
        """Complete a trial whose rung was reported, prune it, or let it go on; whether it is over.

        Args:
            trial: the trial.
            epoch: of its last report.
            left: the trial as an earlier process left it, which may have decided already but not told.
        """
        if epoch == self._epochs[-1]:
            self._study.tell(trial, self._frozen(trial.number).intermediate_values[epoch], state=TrialState.COMPLETE)
            return True
        pruned = None if left is None else pruned_before(self._study, left)
        if pruned is None:
            pruned = trial.should_prune()
        if not pruned:
            return False
        trial.set_user_attr(REASON, f"pruned after epoch {epoch}: others of its bracket did better")
        self._study.tell(trial, state=TrialState.PRUNED)
        return True

    def _left_running(self) -> list[optuna.Trial]:
        """The trials that an earlier process left, to be continued."""
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [optuna.Trial(self._study, trial._trial_id) for trial in running]

    def _frozen(self, number: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[number]

    def _result(self, number: int) -> TrialResult:
        result = read_trial(self._frozen(number))
        if result is None:
            raise RuntimeError(f"trial {number} was never drawn")
        return result

    def _check_failures(self) -> None:
        failed = [result for result in self.results() if result.state == "failed"]
        if len(failed) > self._settings.max_failures:
            table = "\n".join(f"  trial {result.number}: {result.reason}" for result in failed)
            raise UserError(
                f"search.max_failures is {self._settings.max_failures}, but {len(failed)} trials failed:\n{table}\n"
                "narrow search.space (a diverged trial often had too high a learning_rate), or raise max_failures"
            )


def _infeasible_at_the_end(results: tuple[TrialResult, ...]) -> int:
    count = 0
    for result in reversed(results):
        if result.state != "infeasible":
            break
        count += 1
    return count
