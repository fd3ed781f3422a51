"""The section `search` of params.yaml."""

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.params.search import SAMPLERS, SearchParams
from tests.pipeline.param_sections import params_with

NEAR_BEST = {"tpe", "gp", "cmaes", "nsga2"}


def search(**changes: Any) -> SearchParams:
    return SearchParams.model_validate(params_with().search.model_dump() | changes)


@pytest.mark.parametrize("trials", [1, 2])
def test_there_must_be_trials_for_the_baseline_and_all_enqueued_files(trials: int) -> None:
    files = ("a.yaml", "b.yaml")
    assert search(trials=3, enqueue=files).trials == 3
    with pytest.raises(ValidationError, match=rf"trials must be at least 3, .* got {trials}; raise trials"):
        search(trials=trials, enqueue=files)


def test_the_first_rung_must_not_be_longer_than_the_last() -> None:
    assert search(min_epochs=5, epochs=5).epochs == 5
    with pytest.raises(ValidationError, match="min_epochs must not exceed epochs, got min_epochs: 6, epochs: 5"):
        search(min_epochs=6, epochs=5)


def test_a_study_within_the_stage_has_one_worker() -> None:
    assert search(engine="inline", workers=1).workers == 1
    assert search(engine="processes", workers=2).workers == 2
    with pytest.raises(ValidationError, match="workers must be 1 with engine: inline, got 2"):
        search(engine="inline", workers=2)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_all_samplers_but_cmaes_support_several_objectives(sampler: str) -> None:
    assert search(sampler=sampler, objectives=("val_loss",)).sampler == sampler
    if sampler != "cmaes":
        assert search(sampler=sampler, objectives=("val_loss", "params")).sampler == sampler
        return
    with pytest.raises(ValidationError) as caught:
        search(sampler=sampler, objectives=("val_loss", "params"))
    assert "supports only one objective, got ['val_loss', 'params']; use one of tpe, random" in str(caught.value)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samplers_that_build_a_model_start_near_the_best_trial(sampler: str) -> None:
    assert search(sampler=sampler, objectives=("val_loss",), startup="near_best").starts_near_best is (
        sampler in NEAR_BEST
    )
    assert not search(sampler=sampler, objectives=("val_loss",), startup="random").starts_near_best


def test_the_first_objective_is_that_of_an_epoch() -> None:
    with pytest.raises(ValidationError, match=r"the first objective must be one of val_accuracy.* got 'params'"):
        search(objectives=("params", "val_loss"))
    with pytest.raises(ValidationError, match="must not contain duplicates"):
        search(objectives=("val_loss", "val_loss"))


def test_the_latency_is_measured_if_it_is_limited_or_an_objective() -> None:
    unlimited = params_with().search.budget.model_copy(update={"max_latency_ms": None})
    limited = unlimited.model_copy(update={"max_latency_ms": 2.0})
    assert not search(budget=unlimited.model_dump()).measures_latency
    assert search(budget=limited.model_dump()).measures_latency
    assert search(budget=unlimited.model_dump(), objectives=("val_loss", "latency_ms")).measures_latency
