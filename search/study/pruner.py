"""The pruners of a study, which decide at each rung whether a trial continues."""

from typing import cast

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.trial import FrozenTrial

from pipeline.params import SearchParams

_NOTE = "completed_rung_"  # prefix of the system attributes in which Optuna's successive halving stores the values
# Number of trials that must finish before the median pruner prunes.
_MEDIAN_STARTUP = 4


def make_pruner(settings: SearchParams) -> BasePruner:
    """Create the Optuna pruner that `search.pruner` names."""
    match settings.pruner:
        case "none":
            return NopPruner()
        case "median":
            return MedianPruner(n_startup_trials=_MEDIAN_STARTUP)
        case "successive_halving":
            return SuccessiveHalvingPruner(settings.min_epochs, settings.reduction_factor)
        case "hyperband":
            return DeterministicHyperband(settings.min_epochs, settings.epochs, settings.reduction_factor)


class DeterministicHyperband(BasePruner):
    """Optuna's Hyperband, with brackets that depend only on the trial number.

    Optuna's brackets also depend on the name of the study, so that a changed word in the code or a larger number of
    trials would change the pruning. Because this class is not a HyperbandPruner, Optuna shows samplers all trials
    instead of those of one bracket, which in a small study are never enough for TPE. TPE ranks pruned trials first by
    the rung that they reached.
    """

    def __init__(self, min_resource: int, max_resource: int, reduction_factor: int) -> None:
        self._hyperband = _Numbered(min_resource, max_resource, reduction_factor)

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        return self._hyperband.prune(study, trial)


class _Numbered(HyperbandPruner):
    def _get_bracket_id(self, study: optuna.Study, trial: FrozenTrial) -> int:
        return super()._get_bracket_id(cast(optuna.Study, _Named), trial)


class _Named:
    study_name = "hyperband"


def pruned_before(study: optuna.Study, trial: FrozenTrial) -> bool | None:
    """Return the pruner's decision about the last report of an earlier process's trial, or None if it made none.

    When successive halving decides, it stores the trial's value at each rung in the storage. If it decided again, it
    would treat that stored value as a competitor's. So the decisions are repeated, report by report, in a copy of the
    study without the stored values of this trial.
    """
    copy = optuna.create_study(direction=study.direction, study_name=study.study_name, pruner=study.pruner)
    for each in study.get_trials(deepcopy=True):
        if each.number == trial.number:
            each.system_attrs = {key: value for key, value in each.system_attrs.items() if not key.startswith(_NOTE)}
            each.intermediate_values = {}
        copy.add_trial(each)
    pruned = False
    for epoch, value in sorted(trial.intermediate_values.items()):
        replayed = copy.get_trials(deepcopy=True)[trial.number]
        replayed.intermediate_values = {epoch: value}
        pruned = study.pruner.prune(copy, replayed)
    noted = copy.get_trials(deepcopy=False)[trial.number]
    return pruned if _notes(noted) == _notes(trial) else None


def _notes(trial: FrozenTrial) -> dict[str, object]:
    return {key: value for key, value in trial.system_attrs.items() if key.startswith(_NOTE)}
