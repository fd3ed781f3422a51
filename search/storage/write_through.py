"""A storage with a write-through cache for the process that runs a study."""

import copy
import json
from collections.abc import Container
from typing import Any

from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from search.storage.digests import add_digest, check_user_attrs, content_digest, read_trials, trial_digest


class WriteThroughStorage:
    """A write-through cache for the driver of a study, the only process that changes its trials.

    Each trial is read once and then kept in memory. Optuna's own cache queries the database whenever trials are
    requested, because other processes might write. In a study of 1,000 trials, that takes longer than everything else
    the driver does. All other calls are passed to the storage.

    Each trial gets a digest when it ends, in the same transaction, and so does each user attribute of the study. Trials
    are compared with their digests when they are read.

    Args:
        storage: The storage that everything is written to.
    """

    def __init__(self, storage: RDBStorage) -> None:
        self._storage = storage
        self._trials: dict[int, list[FrozenTrial]] = {}  # by study id, ordered by number
        self._places: dict[int, tuple[int, int]] = {}  # study id and trial number, by trial id

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        trials = self._known(study_id)
        trial_id = self._storage.create_new_trial(study_id, template_trial)
        if template_trial is None:
            trial = self._storage.get_trial(trial_id)
        else:
            trial = copy.deepcopy(template_trial)
            trial.number, trial._trial_id = len(trials), trial_id
        trials.append(trial)
        self._places[trial_id] = study_id, trial.number
        return trial_id

    def get_trial(self, trial_id: int) -> FrozenTrial:
        if trial_id not in self._places:
            return self._storage.get_trial(trial_id)
        study_id, number = self._places[trial_id]
        return self._trials[study_id][number]

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        return self.get_trial(trial_id).system_attrs

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        found = [trial for trial in self._known(study_id) if states is None or trial.state in states]
        return copy.deepcopy(found) if deepcopy else found

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._storage.set_trial_user_attr(trial_id, key, value)
        self._add(trial_id, "user_attrs", key, json.loads(json.dumps(value)))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._storage.set_trial_system_attr(trial_id, key, value)
        self._add(trial_id, "system_attrs", key, json.loads(json.dumps(value)))

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self._storage.set_trial_intermediate_value(trial_id, step, intermediate_value)
        self._add(trial_id, "intermediate_values", step, intermediate_value)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Any = None) -> bool:
        if trial_id in self._places and state.is_finished():
            study_id, number = self._places[trial_id]
            add_digest(self._storage, study_id, number, trial_digest(self.get_trial(trial_id), state, values))
        changed = self._storage.set_trial_state_values(trial_id, state, values)
        self._replace(trial_id, self._storage.get_trial(trial_id))
        return changed

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        check_user_attrs(self._storage, study_id)
        return self._storage.get_study_user_attrs(study_id)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        add_digest(self._storage, study_id, key, content_digest(value))
        self._storage.set_study_user_attr(study_id, key, value)

    def _known(self, study_id: int) -> list[FrozenTrial]:
        if study_id not in self._trials:
            trials = self._trials[study_id] = read_trials(self._storage, study_id)
            self._places |= {trial._trial_id: (study_id, trial.number) for trial in trials}
        return self._trials[study_id]

    def _add(self, trial_id: int, name: str, key: Any, value: Any) -> None:
        changed = copy.copy(self.get_trial(trial_id))  # callers that already have the trial must not see the change
        setattr(changed, name, getattr(changed, name) | {key: value})
        self._replace(trial_id, changed)

    def _replace(self, trial_id: int, trial: FrozenTrial) -> None:
        if trial_id in self._places:
            study_id, number = self._places[trial_id]
            self._trials[study_id][number] = trial
