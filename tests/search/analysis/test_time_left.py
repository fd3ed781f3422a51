"""The estimated time that a study still needs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.analysis.time_left import seconds_left
from search.study.job import RungResult
from search.study.results import TrialResult
from tests.search.harness import StudyHarness

# Settings for candidates of equal cost, trained one after another.
EQUAL = {"space": {"learning_rate": {"low": 0.001, "high": 0.1, "log": True}}, "concurrency": 1, "pruner": "none"}


@pytest.fixture
def harness(tmp_path: Path) -> StudyHarness:
    """A study of four trials, each with three rungs that take a second."""
    return StudyHarness(tmp_path, trials=4, **EQUAL)


def ended(harness: StudyHarness, trials: int) -> list[TrialResult]:
    """Run a study until some trials have ended; return their results."""
    running = harness.driver().run()
    return [next(running) for _ in range(trials)]


def as_reused(result: TrialResult, number: int) -> TrialResult:
    return replace(result, number=number, state="reused", seconds=0.0)


def unfinished(result: TrialResult, number: int, epochs: int, seconds: float) -> TrialResult:
    """A running trial with the cost of another one."""
    return replace(result, number=number, state="running", history=result.history[:epochs], seconds=seconds, ended=None)


def left(harness: StudyHarness, results: list[TrialResult], cached_results: Any = None) -> float | None:
    return seconds_left(results, harness.config, cached_results or {})


def test_the_time_left_is_estimated_from_the_pace_without_pauses(harness: StudyHarness) -> None:
    one, two = ended(harness, 2)
    assert left(harness, [one]) == pytest.approx(9.0, rel=0.05)  # three trials of three rungs of a second
    assert left(harness, [one, two]) == pytest.approx(6.0, rel=0.05)
    twice_as_slow = [replace(each, seconds=2 * each.seconds) for each in (one, two)]
    assert left(harness, twice_as_slow) == pytest.approx(12.0, rel=0.05)


def test_the_time_left_is_unknown_before_anything_was_trained(harness: StudyHarness) -> None:
    (first,) = ended(harness, 1)
    assert left(harness, []) is None
    assert left(harness, [unfinished(first, 0, epochs=0, seconds=0.0)]) is None
    known = {(0, first.candidate.digest): RungResult(first.history)}  # trained by an earlier study
    assert left(harness, [first], known) is None


def test_a_running_trial_needs_only_its_remaining_rungs(harness: StudyHarness) -> None:
    (first,) = ended(harness, 1)
    begun = left(harness, [first, unfinished(first, 1, epochs=0, seconds=0.0)])
    halfway = left(harness, [first, unfinished(first, 1, epochs=3, seconds=2.0)])
    assert begun == pytest.approx(9.0, rel=0.05)
    assert halfway == pytest.approx(7.0, rel=0.15)


def test_reused_trials_cost_nothing(harness: StudyHarness) -> None:
    (first,) = ended(harness, 1)
    results = [first, as_reused(first, 1)]
    # Half of the trials so far cost three seconds, and two trials remain.
    assert left(harness, results) == pytest.approx(3.0, rel=0.05)
    assert left(harness, [*results, as_reused(first, 2)]) == pytest.approx(1.0, rel=0.05)
    assert left(harness, [*results, as_reused(first, 2), as_reused(first, 3)]) == 0.0


def test_workers_share_the_time_up_to_the_concurrency(harness: StudyHarness) -> None:
    (first,) = ended(harness, 1)
    alone = left(harness, [first])
    assert alone is not None
    for workers, concurrency, share in ((4, 4, 4), (4, 2, 2), (1, 4, 1)):
        several = {"engine": "ray", "workers": workers, "concurrency": concurrency}
        harness.settings = harness.settings.model_copy(update=several)
        assert left(harness, [first]) == pytest.approx(alone / share)
