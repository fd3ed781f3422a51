"""A study, and the study by which its trials are pruned: the same one, where there is one objective."""

from collections.abc import Iterator, Mapping, Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from pipeline.params.space import Scalar


class StudyPair:
    """Keeps the trials of two studies in step, number by number.

    Optuna prunes studies of one objective only. So a study of several has a second one beside it, of the first
    objective alone, in which rungs are reported.

    Args:
        study: of all objectives.
        pruning: of the first objective; `study` itself where that is the only one.
    """

    def __init__(self, study: optuna.Study, pruning: optuna.Study) -> None:
        self._study = study
        self.pruning = pruning

    def recalled(self) -> Iterator[tuple[FrozenTrial, int]]:
        """Each trial in the storage, with the resource of its last report, 0 for none."""
        judged = self.pruning.get_trials(deepcopy=False)
        for trial in self._study.get_trials(deepcopy=False):
            reports = judged[trial.number].intermediate_values if trial.number < len(judged) else {}
            yield trial, max(reports, default=0)

    def left_running(self) -> list[optuna.Trial]:
        """The trials that an earlier process left, to be continued, in order."""
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [optuna.Trial(self._study, trial._trial_id) for trial in sorted(running, key=lambda each: each.number)]

    def ask(self, first: Sequence[Mapping[str, Scalar]]) -> optuna.Trial:
        """A new trial; the first ones of a study have these values."""
        trials = self._study.get_trials(deepcopy=False)
        if len(trials) < len(first) and not any(trial.state == TrialState.WAITING for trial in trials):
            self._study.enqueue_trial(dict(first[len(trials)]))
        return self._study.ask()

    def judged(self, trial: optuna.Trial) -> optuna.Trial:
        """The trial of the same number in the study that prunes."""
        if self.pruning is self._study:
            return trial
        while len(known := self.pruning.get_trials(deepcopy=False)) <= trial.number:
            self.pruning.ask()
        return optuna.Trial(self.pruning, known[trial.number]._trial_id)

    def frozen(self, number: int) -> FrozenTrial:
        """A trial of the study that prunes, with its reports."""
        return self.pruning.get_trials(deepcopy=False)[number]

    def tell(
        self, trial: optuna.Trial, judged: optuna.Trial, state: TrialState, values: Sequence[float] | None
    ) -> FrozenTrial:
        """End a trial, in the study that prunes first."""
        if judged is not trial:
            frozen = self.frozen(trial.number)
            if not frozen.state.is_finished():  # without reports it was not trained: reused, or rejected
                if not frozen.intermediate_values:
                    self.pruning.tell(judged, state=TrialState.FAIL)
                else:
                    self.pruning.tell(judged, values and values[0], state=state)
        return self._study.tell(trial, values, state=state)
