"""The best trials are trained again with other seeds, and their means decide."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import optuna
import pytest

from pipeline.data.training_data import TrainingData
from pipeline.errors import UserError
from search.analysis.finalists import finalists_in_words
from search.engine.inline import InlineEngine
from search.storage.database import earlier_finals
from search.study.finalists import FinalTrainings, finalists_of, recorded_finals, with_finals
from search.study.job import Job, RungResult
from search.study.results import TrialResult, best_of, ranked
from tests.search.harness import StudyHarness
from tests.search.work import learn


def settings_of(count: int, seeds: int) -> dict[str, Any]:
    """The settings of finalists without cross-validation."""
    return {"count": count, "seeds": seeds, "cross_validation": False}


SETTINGS: dict[str, Any] = {"trials": 8, "pruner": "none", "finalists": settings_of(2, 3)}


def luck(job: Job, data: TrainingData) -> RungResult:
    """Curves that depend on the seed, too."""
    learned = learn(job, data)
    factor = 1 - job.seed % 100 / 1000
    return replace(
        learned,
        history=tuple(epoch | {"val_accuracy": epoch["val_accuracy"] * factor} for epoch in learned.history),
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
    finals = Finals(tmp_path, finalists=settings_of(0, 3))
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


def test_with_cross_validation_each_training_uses_another_fold(tmp_path: Path) -> None:
    finals = Finals(tmp_path)
    finals.run()
    assert {job.fold for job in finals.jobs} == {0}
    seeds = [job.seed for job in finals.jobs]
    finals.jobs.clear()
    settings = finals.harness.settings
    cross_validated = settings.finalists.model_copy(update={"cross_validation": True})
    finals.harness.settings = settings = settings.model_copy(update={"finalists": cross_validated})
    results = finals.run()  # the trainings without folds do not count
    assert [job.fold for job in finals.jobs] == [1, 2, 3] * 3
    assert [job.seed for job in finals.jobs] == seeds
    first, *_ = finalists_in_words(results, finals.best(results), settings)
    assert first == "3 finalists were trained 3 more times, with other seeds and on other folds."
    finals.jobs.clear()
    assert finals.run() == results
    assert finals.jobs == []


def test_a_finalist_that_diverges_with_another_seed_does_not_win(tmp_path: Path) -> None:
    best = Finals(tmp_path).best(Finals(tmp_path).run())
    seeds: list[int] = []

    def diverge_once(job: Job, data: TrainingData) -> RungResult:
        if job.architecture.digest == best.candidate.architecture.digest and len(seeds) < 1:
            seeds.append(job.seed)
            return RungResult(failure="diverged", detail="NaN")
        return luck(job, data)

    diverging = Finals(tmp_path / "diverging", diverge_once, finalists=settings_of(2, 9))
    results = diverging.run()
    assert results[best.number].diverged == 1
    winner = diverging.best(results)
    assert winner.number != best.number
    sentences = list(finalists_in_words(results, winner, diverging.harness.settings))
    assert f"Trial {best.number} diverged in 1 of them." in sentences


@pytest.mark.parametrize("failure", ["timed_out", "out_of_memory", "worker_lost"])
def test_other_failures_stop_the_study_and_are_repeated(tmp_path: Path, failure: Any) -> None:
    finals = Finals(tmp_path, lambda *_: RungResult(failure=failure, detail="a reason"))
    with pytest.raises(UserError, match=f"finalist trial .*{failure}: a reason; run `fovea search` to repeat it"):
        finals.run()
    assert recorded_finals(finals.study) == {}
    finals.work = luck
    assert [each.finals for each in finals.run()] == [each.finals for each in Finals(tmp_path / "other").run()]


def test_the_time_limit_of_a_rung_applies_to_each_rung_of_a_finalist(tmp_path: Path) -> None:
    finals = Finals(tmp_path)
    finals.run()
    assert {job.rungs for job in finals.jobs} == {len(finals.harness.config.rungs)} != {1}


def test_a_single_contender_is_not_trained_again(tmp_path: Path) -> None:
    finals = Finals(tmp_path, trials=1)
    assert finals.run() == finals.results
    assert finals.jobs == []


def test_trainings_of_an_earlier_study_are_stored_in_the_new_one(tmp_path: Path) -> None:
    """So that `fovea status` finds them there."""
    finals = Finals(tmp_path)
    finals.run()
    finals.study, earlier = optuna.create_study(), recorded_finals(finals.study)
    config, engine = finals.harness.config, InlineEngine(cast(TrainingData, None))
    assert list(FinalTrainings(config, finals.study, engine, earlier).run(finals.results)) == []
    assert recorded_finals(finals.study) == earlier != {}


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


def test_with_choose_cheapest_the_cheapest_trials_within_the_tolerance_are_finalists(tmp_path: Path) -> None:
    finals = Finals(tmp_path, choose="cheapest", tolerance=0.9)
    complete = ranked(finals.results, "val_accuracy")
    chosen = finalists_of(finals.results, finals.harness.config)
    assert chosen[0] == complete[0]
    assert chosen[1].cost["params"] == min(each.cost["params"] for each in complete[1:])
    again = finalists_of(finals.run(), finals.harness.config)
    assert [each.number for each in again] == [each.number for each in chosen]


def test_the_cheapest_finalist_within_the_tolerance_wins(tmp_path: Path) -> None:
    finals = Finals(tmp_path, choose="cheapest", tolerance=0.9)
    results = finals.run()
    assert finals.best(results).cost["params"] == min(each.cost["params"] for each in results if each.finals)
