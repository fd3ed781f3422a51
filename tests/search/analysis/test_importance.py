"""The importance of each drawn value, if there are enough trials."""

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from search.analysis.importance import MIN_COMPLETE, importances, lacking


def study(complete: int) -> optuna.Study:
    """A study whose objective depends only on the learning rate."""
    random, made = np.random.default_rng(1), optuna.create_study(direction="maximize")
    space = {"learning_rate": FloatDistribution(0.0, 1.0), "pooling": CategoricalDistribution(("max", "none"))}
    for _ in range(complete):
        drawn = {"learning_rate": float(random.uniform()), "pooling": str(random.choice(["max", "none"]))}
        value = drawn["learning_rate"]
        made.add_trial(optuna.trial.create_trial(params=drawn, distributions=space, value=value))  # type: ignore[arg-type]
    return made


def test_too_few_complete_trials_have_no_importances() -> None:
    few = study(MIN_COMPLETE - 1)
    assert importances(few) == {}
    assert lacking(few) == "too few complete trials (29; 30 needed)"


def test_enough_trials_have_reproducible_importances_with_a_spread() -> None:
    found = importances(study(MIN_COMPLETE))
    assert next(iter(found)) == "learning_rate"
    assert found["learning_rate"].share > 0.7
    assert all(0.0 <= each.low <= each.high <= 1.0 for each in found.values())
    assert found["learning_rate"].high - found["learning_rate"].low > 0.0
    assert importances(study(MIN_COMPLETE)) == found


@pytest.mark.slow
def test_more_trials_have_less_spread() -> None:
    few, many = (importances(study(number))["learning_rate"] for number in (MIN_COMPLETE, 10 * MIN_COMPLETE))
    assert many.high - many.low < few.high - few.low
