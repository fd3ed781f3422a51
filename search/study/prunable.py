"""A study together with its pruning study. Both are the same study if there is only one objective."""

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

from pipeline.errors import UserError
from pipeline.params.space import Scalar
from search.study.results import direction

# Prefix of the name of the pruning study, if it is a separate study.
PRUNING = "pruning-"

_DRAFT = -1  # the id of a trial that is not in the storage yet


class PrunableStudy:
    """Keeps the trials of a study and its pruning study synchronized by their numbers.

    Optuna can prune only studies with one objective. So a study with several objectives has a pruning study, which has
    only the first objective, and rungs are reported to it.

    Args:
        create: Creates or opens a study from `study_name`, `sampler` and `directions`, like `optuna.create_study`.
        name: Name of the study.
        sampler: The sampler of the study.
        objectives: Names of the objectives. The first one decides on pruning.

    Raises:
        UserError: Something else removed trials of the study.

    Attributes:
        study: The study with all objectives.
        pruning: The study with the first objective. It is `study` itself if there is only one objective.
    """

    def __init__(
        self, create: Callable[..., optuna.Study], name: str, sampler: BaseSampler, objectives: Sequence[str]
    ) -> None:
        directions = [direction(objective) for objective in objectives]
        self.study = self.pruning = create(study_name=name, sampler=sampler, directions=directions)
        if len(directions) > 1:
            self.pruning = create(study_name=PRUNING + name, sampler=RandomSampler(), directions=directions[:1])
            _name_objectives(self.pruning, objectives[:1])
            count, pruning = (len(each.get_trials(deepcopy=False)) for each in (self.study, self.pruning))
            if pruning > count:
                raise UserError(
                    f"{name}: must have all trials of {PRUNING}{name}, which has {pruning}, got {count}; restore the "
                    "study's database from a copy, or delete both studies with `optuna delete-study`"
                )
        _name_objectives(self.study, objectives)

    def recalled(self) -> Iterator[tuple[FrozenTrial, int]]:
        """Yield each trial in the storage with the resource of its last report, or 0 if there is none."""
        pruning_trials = self.pruning.get_trials(deepcopy=False)
        for trial in self.study.get_trials(deepcopy=False):
            reports = pruning_trials[trial.number].intermediate_values if trial.number < len(pruning_trials) else {}
            yield trial, max(reports, default=0)

    def left_running(self) -> list[optuna.Trial]:
        """Return the unfinished trials of an earlier process, in order."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [optuna.Trial(self.study, trial._trial_id) for trial in sorted(running, key=lambda each: each.number)]

    def ask(
        self, first: Sequence[Mapping[str, Scalar]], draw: Callable[[optuna.Trial], dict[str, Any]]
    ) -> optuna.Trial:
        """Create a trial after drawing its values, so that the storage contains it either completely or not at all.

        Args:
            first: The fixed values of the first trials, by variable.
            draw: Draws the values of a trial, and returns its user attributes.
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
        """Return the trial with the same number in the pruning study, and create it if necessary."""
        if self.pruning is self.study:
            return trial
        while len(known := self.pruning.get_trials(deepcopy=False)) <= trial.number:
            self.pruning.ask()
        return optuna.Trial(self.pruning, known[trial.number]._trial_id)

    def frozen(self, number: int) -> FrozenTrial:
        """Return a trial of the pruning study, with its reports."""
        return self.pruning.get_trials(deepcopy=False)[number]

    def tell(
        self, trial: optuna.Trial, pruning_trial: optuna.Trial, state: TrialState, values: Sequence[float] | None
    ) -> FrozenTrial:
        """Finish a trial, first in the pruning study and then in the study."""
        if pruning_trial is not trial:
            frozen = self.frozen(trial.number)
            if not frozen.state.is_finished():  # without reports, it was reused or rejected
                if not frozen.intermediate_values:
                    self.pruning.tell(pruning_trial, state=TrialState.FAIL)
                else:
                    self.pruning.tell(pruning_trial, values and values[0], state=state)
        return self.study.tell(trial, values, state=state)


def _name_objectives(study: optuna.Study, objectives: Sequence[str]) -> None:
    """Store the names of the objectives for optuna-dashboard."""
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        study.set_metric_names(list(objectives))


class _WithDraft:
    """A storage with an additional trial, which exists only in memory and receives what is written to it."""

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
