"""The best trials are trained again with other seeds, and their means decide."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from pipeline.data.training_data import TrainingData
from search.engine.inline import InlineEngine
from search.storage.database import earlier_finals
from search.study.finalists import FAILED, FinalTrainings, finalists_of, recorded_finals, with_finals
from search.study.job import Job, RungResult
from search.study.results import TrialResult, best_of
from tests.search.harness import StudyHarness
from tests.search.work import learn

SETTINGS: dict[str, Any] = {"trials": 8, "pruner": "none", "finalists": {"count": 2, "seeds": 3}}


def luck(job: Job, data: TrainingData) -> RungResult:
    """Curves that depend on the seed, too."""
    learned = learn(job, data)
    shift = job.seed % 100 / 1000
    return replace(
        learned,
        history=tuple(epoch | {"val_accuracy": epoch["val_accuracy"] - shift} for epoch in learned.history),
    )


class Finals:
    """A study with generated curves, and the trainings of its finalists."""

    def __init__(self, folder: Path, work: Any = luck, **changes: Any) -> None:
        self.harness = StudyHarness(folder, luck, **SETTINGS | changes)
        driver = self.harness.driver()
        for _ in driver.run():
            pass
        self.results = driver.ended()
        self.jobs: list[Job] = []
        self.work = work
        assert self.harness.study is not None
        self.study = self.harness.study

    def trainings(self) -> FinalTrainings:
        """The trainings as a new process would continue them."""

        def record(job: Job, data: TrainingData) -> RungResult:
            self.jobs.append(job)
            return cast(RungResult, self.work(job, data))

        engine = InlineEngine(cast(TrainingData, None), work=record)
        config = self.harness.config
        return FinalTrainings(config, self.study, engine, earlier_finals(self.study, config.base))

    def run(self) -> tuple[TrialResult, ...]:
        trainings = self.trainings()
        for _ in trainings.run(self.results):
            pass
        return with_finals(self.results, self.harness.config, trainings.finals)

    def best(self, results: tuple[TrialResult, ...]) -> TrialResult:
        best = best_of(results, self.harness.settings)
        assert best is not None
        return best


def test_the_best_trials_and_the_baseline_are_trained_again_in_full_with_other_seeds(tmp_path: Path) -> None:
    finals = Finals(tmp_path)
    results = finals.run()
    chosen = finalists_of(results, finals.harness.config)
    by_value = sorted(results, key=lambda each: -(each.val_accuracy or 0.0))
    assert {each.number for each in chosen} == {by_value[0].number, by_value[1].number, 0}
    assert len(finals.jobs) == 3 * len(chosen)
    assert len({job.seed for job in finals.jobs}) == len(finals.jobs)
    assert {(job.until, job.state) for job in finals.jobs} == {(finals.harness.settings.epochs, None)}
    assert [len(each.finals) for each in results] == [3 if each in chosen else 0 for each in results]


def test_the_mean_over_the_other_seeds_decides(tmp_path: Path) -> None:
    finals = Finals(tmp_path)
    results = finals.run()
    best = finals.best(results)
    means = {each.number: each.decisive("val_accuracy") for each in results if each.finals}
    values = [epoch["val_accuracy"] for epoch in best.finals]
    assert best.decisive("val_accuracy") == pytest.approx(sum(values) / 3) == max(means.values())
    assert best.val_accuracy not in values


def test_no_finalists_leave_the_best_own_value(tmp_path: Path) -> None:
    finals = Finals(tmp_path, finalists={"count": 0, "seeds": 3})
    results = finals.run()
    assert finals.jobs == []
    assert finals.best(results).val_accuracy == max(each.val_accuracy or 0.0 for each in results)


def test_finished_trainings_are_not_repeated_after_a_kill(tmp_path: Path) -> None:
    finals = Finals(tmp_path)
    steps = finals.trainings().run(finals.results)
    for _ in range(3):  # the third training does not end
        next(steps)
    done = len(finals.jobs)
    assert done == 2
    killed = recorded_finals(finals.study)
    assert with_finals(finals.results, finals.harness.config, killed) == finals.results  # too early for a decision
    results = finals.run()
    assert len(finals.jobs) == 9
    undisturbed = Finals(tmp_path / "other").run()
    assert [each.finals for each in results] == [each.finals for each in undisturbed]


def test_more_seeds_and_more_trials_continue_the_finished_trainings(tmp_path: Path) -> None:
    finals = Finals(tmp_path)
    finals.run()
    finals.harness.settings = finals.harness.settings.model_copy(
        update={"finalists": finals.harness.settings.finalists.model_copy(update={"seeds": 4})}
    )
    finals.jobs.clear()
    assert {len(each.finals) for each in finals.run()} == {0, 4}
    assert len(finals.jobs) == 3
    longer = Finals(tmp_path, trials=9)
    repeated = {each.number for each in finalists_of(longer.results, longer.harness.config)}
    known = {each.number for each in finalists_of(finals.results, finals.harness.config)}
    longer.run()
    assert len(longer.jobs) == 3 * len(repeated - known)


def test_a_finalist_whose_training_fails_does_not_win(tmp_path: Path) -> None:
    best = Finals(tmp_path).best(Finals(tmp_path).run())

    def fail(job: Job, data: TrainingData) -> RungResult:
        if job.architecture.digest == best.candidate.architecture.digest:
            return RungResult(failure="diverged", detail="NaN")
        return luck(job, data)

    failing = Finals(tmp_path / "failing", fail)
    results = failing.run()
    assert {epoch["val_accuracy"] for epoch in results[best.number].finals} == {FAILED["val_accuracy"]}
    assert failing.best(results).number != best.number


def test_a_lost_worker_is_retried(tmp_path: Path) -> None:
    lost: list[Job] = []

    def lose_once(job: Job, data: TrainingData) -> RungResult:
        if job not in lost:
            lost.append(job)
            return RungResult(failure="worker_lost", detail="killed")
        return luck(job, data)

    finals = Finals(tmp_path, lose_once)
    assert [each.finals for each in finals.run()] == [each.finals for each in Finals(tmp_path / "other").run()]
    assert len(finals.jobs) == 18


def test_the_cheapest_finalist_within_the_tolerance_wins(tmp_path: Path) -> None:
    finals = Finals(tmp_path, choose="cheapest", tolerance=0.9)
    results = finals.run()
    assert finals.best(results).cost["params"] == min(each.cost["params"] for each in results if each.finals)
