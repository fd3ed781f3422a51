"""Sums over the trials of a study: the same whether they were added one by one or recalled."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import UserError
from search.study import tally as tallying
from search.study.results import TrialResult
from search.study.tally import StudyTally
from tests.search.laboratory import Laboratory


@pytest.fixture
def laboratory(tmp_path: Path) -> Laboratory:
    """A completed study with equal candidates among its trials."""
    laboratory = Laboratory(tmp_path, trials=12, space={"filters": {"choices": (4, 8, 16)}})
    laboratory.run()
    return laboratory


def empty(laboratory: Laboratory) -> StudyTally:
    return StudyTally(laboratory.config)


def recalled(laboratory: Laboratory) -> StudyTally:
    tally = empty(laboratory)
    assert laboratory.study is not None
    for trial in laboratory.study.trials:
        tally.recall(trial, max(trial.intermediate_values, default=0))
    return tally


def test_a_finished_study_is_recalled_with_its_trials_in_order(laboratory: Laboratory) -> None:
    tally = recalled(laboratory)
    assert tally.counted == 12
    assert [result.number for result in tally.ended()] == list(range(len(tally.results)))
    assert tally.spent > 0.0
    assert tally.spent == pytest.approx(
        sum(tally.nominal(result.cost, 0, done(tally, laboratory, result)) for result in tally.ended())
    )


def done(tally: StudyTally, laboratory: Laboratory, result: TrialResult) -> int:
    """The number of rungs that a trial was trained for."""
    trained = len(result.history) if result.trained else 0
    return sum(rung.epoch <= trained for rung in laboratory.config.rungs)


def test_an_equal_candidate_refers_to_the_first_one_that_did_not_fail(laboratory: Laboratory) -> None:
    tally = recalled(laboratory)
    reused = [result for result in tally.ended() if result.state == "reused"]
    assert reused
    for result in reused:
        first = tally.first_like(result.candidate, result.number)
        assert first < result.number
        assert tally.results[first].candidate.digest == result.candidate.digest
    fresh = empty(laboratory)
    first = tally.results[0]
    fresh.enter(failed(first))
    assert fresh.first_like(first.candidate, 7) == 7


def failed(result: TrialResult) -> TrialResult:
    return replace(result, state="failed", reason="diverged: the loss is not a number")


def test_more_failures_than_allowed_raise_with_each_reason(laboratory: Laboratory) -> None:
    tally = empty(laboratory)
    trials = recalled(laboratory).ended()
    for result in trials[: laboratory.settings.max_failures]:
        tally.enter(failed(result))
    tally.check()
    tally.enter(failed(trials[laboratory.settings.max_failures]))
    with pytest.raises(UserError, match=r"max_failures is 3, but 4 trials failed:\n  trial 0: diverged"):
        tally.check()


def test_too_many_infeasible_draws_in_a_row_raise(laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallying, "MOST_INFEASIBLE_IN_A_ROW", 3)
    tally, trained = empty(laboratory), recalled(laboratory).results[0]
    infeasible = replace(trained, state="infeasible", reason="search.budget.max_params", history=())
    for result in (infeasible, infeasible, trained, infeasible, infeasible):
        tally.enter(result)
        tally.check()
    tally.enter(infeasible)
    with pytest.raises(UserError, match=r"3 draws in a row"):
        tally.check()
