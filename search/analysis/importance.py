"""Importance of each drawn variable for the first objective, if enough trials completed."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.trial import TrialState

from search.study.results import TrialResult, direction

# Chosen from the measurements in docs/decisions/0026-importances.md.
TOP = 1 / 3  # quantile: PED-ANOVA compares the best third of the complete trials with all of them
MIN_COMPLETE = 30
RESAMPLES = 40


def finished_copy(study: optuna.Study, results: Sequence[TrialResult], objective: str) -> optuna.Study:
    """Copy the reported trials into an in-memory study that has only the first objective.

    Args:
        study: The study. It contains at least the reported trials.
        results: The trials to report.
        objective: The first objective of the study.
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
    """Importance of one variable.

    Attributes:
        share: Fraction of the summed importance of all variables.
        low: 5th percentile of the share over resampled studies.
        high: 95th percentile of the share over resampled studies.
    """

    share: float
    low: float
    high: float


def importances(study: optuna.Study) -> dict[str, Importance]:
    """Return the PED-ANOVA importance of each variable for reaching the best third, in descending order.

    The result is empty if too few trials completed or if they do not differ. The percentiles come from a bootstrap over
    the trials. Source: Watanabe, Bansal and Hutter (2023), "PED-ANOVA: Efficiently Quantifying Hyperparameter
    Importance in Arbitrary Subspaces".
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < MIN_COMPLETE or len({trial.values[0] for trial in complete}) < 2 or not complete[0].params:
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
    """Return the reason why there are no importances."""
    complete = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
    if complete < MIN_COMPLETE:
        return f"too few complete trials ({complete}; {MIN_COMPLETE} needed)"
    return "the complete trials do not differ"


def _shares(study: optuna.Study) -> dict[str, float]:
    # Imported late: it loads scikit-learn, which takes a second, and most small studies have no importances.
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    evaluator = PedAnovaImportanceEvaluator(target_quantile=TOP)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about variables that few trials drew; their share is small
        return get_param_importances(study, evaluator=evaluator)
