"""How much each drawn value matters for the first objective, where there are enough trials to say so."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.trial import TrialState

from search.study.results import TrialResult, direction

# docs/decisions/0026-importances.md has the measurements behind these.
TOP = 1 / 3  # of the complete trials, which are contrasted with all of them
FEWEST_COMPLETE = 30
RESAMPLES = 40


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


@dataclass(frozen=True)
class Importance:
    """How much of the variation a variable explains.

    Attributes:
        share: of all variables' sum.
        low: 5th percentile of that share over resampled studies.
        high: 95th percentile.
    """

    share: float
    low: float
    high: float


def importances(study: optuna.Study) -> dict[str, Importance]:
    """PED-ANOVA's share of each variable in reaching the best third, with its spread, greatest first.

    It is empty where too few trials completed to say. The spread is that of a bootstrap over the trials. Source:
    Watanabe, Bansal and Hutter (2023), "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary
    Subspaces".
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < FEWEST_COMPLETE or len({trial.values[0] for trial in complete}) < 2 or not complete[0].params:
        return {}
    shares = _shares(study)
    random = np.random.default_rng(0)
    resampled = []
    for _ in range(RESAMPLES):
        again = optuna.create_study(direction=study.direction)
        again.add_trials([complete[place] for place in random.integers(len(complete), size=len(complete))])
        resampled.append(_shares(again))
    spread = {name: np.quantile([each.get(name, 0.0) for each in resampled], (0.05, 0.95)).tolist() for name in shares}
    return {
        name: Importance(share, *spread[name])
        for name, share in sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    }


def lacking(study: optuna.Study) -> str:
    """Why there are no importances."""
    complete = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
    if complete < FEWEST_COMPLETE:
        return f"too few complete trials ({complete}; {FEWEST_COMPLETE} needed)"
    return "the complete trials do not differ"


def _shares(study: optuna.Study) -> dict[str, float]:
    # It brings scikit-learn, which takes a second, and most small studies have no importances.
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    evaluator = PedAnovaImportanceEvaluator(target_quantile=TOP)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of variables that few trials have, whose share is small
        return get_param_importances(study, evaluator=evaluator)
