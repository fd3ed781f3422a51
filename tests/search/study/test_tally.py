"""Sums over the trials of a study: the same whether they were added one by one or recalled."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import UserError
from search.study import tally as tallying
from search.study.results import TrialResult
from search.study.tally import StudyTally
from tests.search.harness import StudyHarness


@pytest.fixture
def harness(tmp_path: Path) -> StudyHarness:
    """A completed study with equal candidates among its trials."""
    harness = StudyHarness(tmp_path, trials=12, space={"filters": {"choices": (4, 8, 16)}})
    harness.run()
    return harness


def empty(harness: StudyHarness) -> StudyTally:
    return StudyTally(harness.config)


def recalled(harness: StudyHarness) -> StudyTally:
    tally = empty(harness)
    assert harness.study is not None
    for trial in harness.study.trials:
        tally.recall(trial, max(trial.intermediate_values, default=0))
    return tally


def test_a_finished_study_is_recalled_with_its_trials_in_order(harness: StudyHarness) -> None:
    tally = recalled(harness)
    assert tally.counted == 12
    assert [result.number for result in tally.ended()] == list(range(len(tally.results)))
    assert tally.spent > 0.0
    assert tally.spent == pytest.approx(
        sum(tally.nominal(result.cost, 0, done(tally, harness, result)) for result in tally.ended())
    )


def done(tally: StudyTally, harness: StudyHarness, result: TrialResult) -> int:
    """The number of rungs that a trial was trained for."""
    trained = len(result.history) if result.trained else 0
    return sum(rung.epoch <= trained for rung in harness.config.rungs)


def test_an_equal_candidate_refers_to_the_first_one_that_did_not_fail(harness: StudyHarness) -> None:
    tally = recalled(harness)
    reused = [result for result in tally.ended() if result.state == "reused"]
    assert reused
    for result in reused:
        first = tally.first_like(result.candidate, result.number)
        assert first < result.number
        assert tally.results[first].candidate.digest == result.candidate.digest
    fresh = empty(harness)
    first = tally.results[0]
    fresh.enter(failed(first))
    assert fresh.first_like(first.candidate, 7) == 7


def failed(result: TrialResult) -> TrialResult:
    return replace(result, state="failed", reason="diverged: the loss is not a number")


def test_more_failures_than_allowed_raise_with_each_reason(harness: StudyHarness) -> None:
    tally = empty(harness)
    trials = recalled(harness).ended()
    for result in trials[: harness.settings.max_failures]:
        tally.enter(failed(result))
    tally.check()
    tally.enter(failed(trials[harness.settings.max_failures]))
    with pytest.raises(UserError, match=r"max_failures is 3, but 4 trials failed:\n  trial 0: diverged"):
        tally.check()


def test_too_many_infeasible_draws_in_a_row_raise(harness: StudyHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallying, "MAX_INFEASIBLE_IN_A_ROW", 3)
    tally, trained = empty(harness), recalled(harness).results[0]
    infeasible = replace(trained, state="infeasible", reason="search.budget.max_params", history=())
    for result in (infeasible, infeasible, trained, infeasible, infeasible):
        tally.enter(result)
        tally.check()
    tally.enter(infeasible)
    with pytest.raises(UserError, match=r"the last 3 draws"):
        tally.check()
