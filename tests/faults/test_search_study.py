"""Studies whose trials fail or do not fit, and studies that are continued with other settings."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.data.training_data import TrainingData
from pipeline.errors import UserError
from search.study.job import Job, RungResult
from tests.search.harness import StudyHarness, learn, recording
from tests.search.study.curves import rows
from tests.search.study.test_config import configured

BUDGET = {"max_params": 14_000, "max_macs": None, "max_activation_mb": None, "max_latency_ms": None}


def test_a_study_stops_if_no_more_draws_fit_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no draw fits the budget any more, a study stops with the rule that was violated and the remedy.

    Runs a study whose space is larger than its budget, so that every trial but the baseline is infeasible.
    """
    monkeypatch.setattr("search.study.tally.MAX_INFEASIBLE_IN_A_ROW", 5)
    budget = BUDGET
    harness = StudyHarness(tmp_path, budget=budget, space={"filters": {"choices": (64, 128)}})
    with pytest.raises(UserError, match=r"the last 5 draws.*raise search\.budget"):
        harness.run()


@pytest.mark.slow
def test_lowering_trials_reports_only_the_first_ones(tmp_path: Path) -> None:
    """A study with fewer trials than an earlier one ends as if it had had this number from the start.

    Runs a study of 9 trials, and then one of 4.
    """
    StudyHarness(tmp_path / "lowered", trials=9).run()
    assert StudyHarness(tmp_path / "lowered", trials=4).run() == StudyHarness(tmp_path / "once", trials=4).run()


def test_too_many_failures_stop_the_study_with_their_reasons(tmp_path: Path) -> None:
    """If more trials fail than `search.max_failures` allows, a study stops, and names each trial and its reason.

    Lets every trial diverge at once.
    """

    def diverge(job: Job, data: TrainingData) -> RungResult:
        return RungResult(failure="diverged", detail=f"the loss is NaN in epoch {job.until}")

    harness = StudyHarness(tmp_path, diverge, max_failures=1, concurrency=1, cost_aware=False)
    with pytest.raises(UserError, match=r"trial 0: diverged: the loss is NaN in epoch 1\n  trial 1: diverged"):
        harness.run()


def test_a_failed_trial_is_reported_with_its_reason(tmp_path: Path) -> None:
    """A trial that fails in a later rung is reported with its reason, and the study goes on.

    Lets a rung run out of memory in the middle of a study.
    """
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
def test_a_bug_stops_the_study_with_its_own_exception(tmp_path: Path) -> None:
    """A bug in the training stops a study without a wrong result; the next run ends like an undisturbed one.

    Raises an exception that no rung expects, and runs the study again without it.
    """

    def broken(job: Job, data: TrainingData) -> RungResult:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        StudyHarness(tmp_path, broken).run()
    assert StudyHarness(tmp_path).run() == StudyHarness(tmp_path / "unaffected").run()


@pytest.mark.parametrize("epoch", [1, 9])
def test_trials_that_diverge_cost_the_study_only_themselves(tmp_path: Path, epoch: int) -> None:
    """A trial whose loss becomes NaN, at once or in its last rung, fails alone; the others complete.

    Lets the trials with high learning rates diverge, in the first or in the last rung.
    """

    def diverge(job: Job, data: TrainingData) -> RungResult:
        if job.until == epoch and job.training.learning_rate > 0.01:
            return RungResult(failure="diverged", detail=f"the loss is NaN in epoch {epoch}")
        return learn(job, data)

    found = rows(StudyHarness(tmp_path, diverge, trials=8, max_failures=8, pruner="none").run())
    failed = [row for row in found if row["state"] == "failed"]
    assert 0 < len(failed) < len(found) == 8
    assert {row["reason"] for row in failed} == {f"diverged: the loss is NaN in epoch {epoch}"}
    assert {row["state"] for row in found if row not in failed} <= {"complete", "reused"}


@pytest.mark.parametrize(
    "changes", [{"space": {"filters": {"choices": (4, 8)}}}, {"seed": 2}, {"digests": {"train": "4" * 64}}]
)
def test_a_study_with_another_space_data_or_seed_is_another_study(changes: dict[str, Any]) -> None:
    """A study that is continued after its space, data or seed changed is a new study next to the old one.

    Changes each of them, and compares the names; the name also contains the code, as `test_config` tests.
    """
    assert configured(**changes).base != configured().base


def test_a_study_repeats_nothing_of_itself_and_everything_of_another_one(tmp_path: Path) -> None:
    """A finished study that is run again trains nothing. With another space it starts over, and reuses nothing wrong.

    Runs a study twice, then with another space under another name in the same database.
    """
    jobs: list[Job] = []
    table = StudyHarness(tmp_path, recording(jobs), trials=3).run()
    trained = len(jobs)
    assert StudyHarness(tmp_path, recording(jobs), trials=3).run() == table
    assert len(jobs) == trained
    space = {"filters": {"choices": (4, 8)}}
    other = StudyHarness(tmp_path, trials=4, space=space).run()
    (tmp_path / "fresh").mkdir()
    assert other == StudyHarness(tmp_path / "fresh", trials=4, space=space).run()
