"""Trials that fail."""

from pathlib import Path

import pytest

from pipeline.data.training_data import TrainingData
from pipeline.errors import UserError
from search.study.job import Job, RungResult
from tests.search.harness import StudyHarness, learn
from tests.search.study.curves import rows


def test_too_many_failures_stop_the_study_with_their_reasons(tmp_path: Path) -> None:
    def diverge(job: Job, data: TrainingData) -> RungResult:
        return RungResult(failure="diverged", detail=f"the loss is NaN in epoch {job.until}")

    harness = StudyHarness(tmp_path, diverge, max_failures=1, concurrency=1, cost_aware=False)
    with pytest.raises(UserError, match=r"trial 0: diverged: the loss is NaN in epoch 1\n  trial 1: diverged"):
        harness.run()


def test_a_failed_trial_is_reported_with_its_reason(tmp_path: Path) -> None:
    calls: list[int] = []

    def fail_third(job: Job, data: TrainingData) -> RungResult:
        calls.append(job.until)
        if len(calls) == 4:
            return RungResult(failure="out_of_memory", detail="no room")
        return learn(job, data)

    found = rows(StudyHarness(tmp_path, fail_third, trials=3).run())
    assert [row["reason"] for row in found if row["state"] == "failed"] == ["out_of_memory: no room"]
    assert len(found) == 3


@pytest.mark.slow
def test_failed_trials_can_be_retried_once_the_cause_is_fixed(tmp_path: Path) -> None:
    jobs: list[Job] = []
    broken = [True]

    def work(job: Job, data: TrainingData) -> RungResult:
        jobs.append(job)
        if broken[0] and job.until == 3:
            return RungResult(failure="out_of_memory", detail="somebody else has it")
        return learn(job, data)

    harness = StudyHarness(tmp_path / "fixed", work, max_failures=1, pruner="none")
    with pytest.raises(UserError, match=r"fix it and run `fovea search --retry-failed`"):
        harness.run()
    broken[0], before = False, [job for job in jobs if job.until == 1]
    with pytest.raises(UserError, match="2 trials failed"):
        harness.run()
    jobs.clear()
    assert harness.run(retry_failed=True) == StudyHarness(tmp_path / "healthy", pruner="none").run()
    assert not {job.seed for job in jobs if job.until == 1} & {job.seed for job in before}
    assert harness.run(retry_failed=False) == StudyHarness(tmp_path / "healthy", pruner="none").run()


def test_retrying_a_study_that_never_started_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must refer to an existing study"):
        StudyHarness(tmp_path).run(retry_failed=True)


@pytest.mark.slow
def test_a_bug_stops_the_study_with_its_own_exception(tmp_path: Path) -> None:
    def broken(job: Job, data: TrainingData) -> RungResult:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        StudyHarness(tmp_path, broken).run()
    assert StudyHarness(tmp_path).run() == StudyHarness(tmp_path / "unaffected").run()
