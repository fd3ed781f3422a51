"""How much each drawn value matters for the first objective."""

import warnings
from collections.abc import Sequence

import optuna
from optuna.trial import TrialState

from search.results import TrialResult, direction


def finished_copy(study: optuna.Study, results: Sequence[TrialResult], objective: str) -> optuna.Study:
    """A study in memory of the first objective alone, with the reported trials only.

    Args:
        study: with at least the reported trials.
        results: the reported trials.
        objective: the study's first one.
    """
    numbers = {result.number for result in results}
    copy = optuna.create_study(direction=direction(objective), study_name=study.study_name)
    for trial in study.get_trials():
        if trial.number in numbers and trial.state.is_finished():
            if trial.values is not None:
                trial.values = trial.values[:1]
            copy.add_trial(trial)
    return copy


def importances(study: optuna.Study) -> dict[str, float]:
    """PED-ANOVA's share of each variable, greatest first; empty where too few trials completed to tell.

    Source: Watanabe, Bansal and Hutter (2023), "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in
    Arbitrary Subspaces".
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    differing = {trial.values[0] for trial in complete}
    if len(differing) < 2 or not complete[0].params:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of variables that few trials have, whose share is small
        found = optuna.importance.get_param_importances(study)
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
