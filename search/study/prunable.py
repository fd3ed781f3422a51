"""A study, and the study by which its trials are pruned: the same one, where there is one objective."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from pipeline.params.space import Scalar
from search.study.results import direction

# What the name of the study that prunes begins with, where there are two.
PRUNING = "pruning-"

_DRAFT = -1  # the identifier of a trial that is not in the storage yet


class PrunableStudy:
    """Keeps the trials of two studies in step, number by number.

    Optuna prunes studies of one objective only. So a study of several has a second one beside it, of the first
    objective alone, in which rungs are reported.

    Args:
        create: makes or opens a study by `study_name`, `sampler` and `directions`, as Optuna's create_study does.
        name: of the study.
        sampler: of the study.
        objectives: of the study.

    Attributes:
        study: of all objectives.
        pruning: of the first objective; `study` itself where that is the only one.
    """

    def __init__(
        self, create: Callable[..., optuna.Study], name: str, sampler: BaseSampler, objectives: Sequence[str]
    ) -> None:
        directions = [direction(objective) for objective in objectives]
        self.study = self.pruning = create(study_name=name, sampler=sampler, directions=directions)
        if len(directions) > 1:
            self.pruning = create(study_name=PRUNING + name, sampler=RandomSampler(), directions=directions[:1])
            _name_objectives(self.pruning, objectives[:1])
        _name_objectives(self.study, objectives)

    def recalled(self) -> Iterator[tuple[FrozenTrial, int]]:
        """Each trial in the storage, with the resource of its last report, 0 for none."""
        pruning_trial = self.pruning.get_trials(deepcopy=False)
        for trial in self.study.get_trials(deepcopy=False):
            reports = pruning_trial[trial.number].intermediate_values if trial.number < len(pruning_trial) else {}
            yield trial, max(reports, default=0)

    def left_running(self) -> list[optuna.Trial]:
        """The trials that an earlier process left, to be continued, in order."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [optuna.Trial(self.study, trial._trial_id) for trial in sorted(running, key=lambda each: each.number)]

    def ask(
        self, first: Sequence[Mapping[str, Scalar]], draw: Callable[[optuna.Trial], dict[str, Any]]
    ) -> optuna.Trial:
        """A new trial, drawn before it is made: the storage has it whole, written at once, or not at all.

        Args:
            first: the values of the first trials.
            draw: asks a trial for values, and gives its user attributes.
        """
        storage, number = self.study._storage, len(self.study.get_trials(deepcopy=False))
        draft = create_trial(state=TrialState.RUNNING)
        draft.number, draft._trial_id = number, _DRAFT
        if number < len(first):
            draft.system_attrs = {"fixed_params": dict(first[number])}  # as Optuna's enqueue_trial does
        study = copy(self.study)
        study._storage = cast(BaseStorage, _WithDraft(storage, draft))
        draft.user_attrs = draw(optuna.Trial(study, _DRAFT))
        return optuna.Trial(self.study, storage.create_new_trial(self.study._study_id, draft))

    def pruning_trial(self, trial: optuna.Trial) -> optuna.Trial:
        """The trial of the same number in the study that prunes."""
        if self.pruning is self.study:
            return trial
        while len(known := self.pruning.get_trials(deepcopy=False)) <= trial.number:
            self.pruning.ask()
        return optuna.Trial(self.pruning, known[trial.number]._trial_id)

    def frozen(self, number: int) -> FrozenTrial:
        """A trial of the study that prunes, with its reports."""
        return self.pruning.get_trials(deepcopy=False)[number]

    def tell(
        self, trial: optuna.Trial, pruning_trial: optuna.Trial, state: TrialState, values: Sequence[float] | None
    ) -> FrozenTrial:
        """End a trial, in the study that prunes first."""
        if pruning_trial is not trial:
            frozen = self.frozen(trial.number)
            if not frozen.state.is_finished():  # without reports it was not trained: reused, or rejected
                if not frozen.intermediate_values:
                    self.pruning.tell(pruning_trial, state=TrialState.FAIL)
                else:
                    self.pruning.tell(pruning_trial, values and values[0], state=state)
        return self.study.tell(trial, values, state=state)


def _name_objectives(study: optuna.Study, objectives: Sequence[str]) -> None:
    """Let optuna-dashboard call the objectives by their names."""
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        study.set_metric_names(list(objectives))


class _WithDraft:
    """A storage with one trial more, which is in memory only and takes what is written to it."""

    def __init__(self, storage: BaseStorage, draft: FrozenTrial) -> None:
        self._storage = storage
        self._draft = draft

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._draft if trial_id == _DRAFT else self._storage.get_trial(trial_id)

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        return self.get_trial(trial_id).system_attrs

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.get_trial(trial_id).system_attrs[key] = value

    def set_trial_param(self, trial_id: int, name: str, internal: float, distribution: BaseDistribution) -> None:
        self._draft.params[name] = distribution.to_external_repr(internal)
        self._draft.distributions[name] = distribution
