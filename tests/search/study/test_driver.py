"""The driver, with generated learning curves."""

import re
from pathlib import Path
from typing import Any, cast

import pytest
from optuna import load_study
from optuna.trial import TrialState

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.candidate import Candidate
from pipeline.cnn.geometry import compute_geometry
from pipeline.data.training_data import TrainingData
from pipeline.params import Block, Head
from search.study.job import Job, RungResult
from tests.search.harness import CLASSES, INPUT_SHAPE, StudyHarness, learn, recording
from tests.search.study.curves import WIDE, rows

BUDGET = {"max_params": 14_000, "max_macs": None, "max_activation_mb": None, "max_latency_ms": None}


def test_trial_0_trains_the_baseline_exactly_as_written(tmp_path: Path) -> None:
    jobs: list[Job] = []
    harness = StudyHarness(tmp_path, recording(jobs), trials=1, space={"filters": {"choices": (4, 8)}})
    harness.run()
    assert jobs[0].architecture.blocks == harness.params.model.blocks
    assert jobs[0].architecture.head == harness.params.model.head
    assert jobs[0].training.learning_rate == harness.params.training.learning_rate
    assert jobs[0].training.epochs == harness.settings.epochs


def test_each_rung_resumes_from_the_state_of_the_previous_one(tmp_path: Path) -> None:
    jobs: list[Job] = []
    harness = StudyHarness(tmp_path, recording(jobs), trials=1, pruner="none")
    harness.run()
    assert [job.until for job in jobs] == [rung.epoch for rung in harness.config.rungs] == [1, 3, 9]
    assert [job.state for job in jobs] == [None, *(f"[{jobs[0].seed}, {until}]".encode() for until in (1, 3))]


@pytest.mark.slow
def test_trials_in_training_are_reported_before_each_wait(tmp_path: Path) -> None:
    harness = StudyHarness(tmp_path, trials=3, concurrency=1)
    harness.run()
    assert harness.waits[:2] == ["trial 0, epochs 1 to 1 of 9", "trial 0, epochs 2 to 3 of 9"]
    together = StudyHarness(tmp_path / "together", trials=6, concurrency=2, synchronous=False)
    together.folder.mkdir()
    together.run()
    assert all(re.fullmatch(r"trials? \d+(, \d+|, epochs \d to \d of 9)", each) for each in together.waits)
    assert any(each.startswith("trials ") for each in together.waits)


@pytest.mark.slow
def test_the_same_seed_produces_the_same_table(tmp_path: Path) -> None:
    assert StudyHarness(tmp_path / "one").run() == StudyHarness(tmp_path / "two").run()


@pytest.mark.slow
def test_bad_trials_are_pruned_at_a_rung(tmp_path: Path) -> None:
    states = [row["state"] for row in rows(StudyHarness(tmp_path, trials=12).run())]
    assert {"complete", "pruned"} == set(states)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "most", "column", "scale"),
    [
        ("max_params", 14_000, "params", 1),
        ("max_macs", 150_000, "macs", 1),
        ("max_activation_mb", 0.03, "activation_bytes", 2**20),
    ],
)
def test_candidates_over_budget_are_not_trained_and_do_not_count(
    tmp_path: Path, key: str, most: float, column: str, scale: int
) -> None:
    jobs: list[Job] = []
    budget = dict.fromkeys(BUDGET) | {key: most}
    harness = StudyHarness(
        tmp_path, recording(jobs), trials=6, budget=budget, space={"filters": {"choices": (4, 8, 16, 32, 64)}}
    )
    found = rows(harness.run())
    infeasible = [row for row in found if row["state"] == "infeasible"]
    assert infeasible
    assert len(found) - len(infeasible) == 6
    assert not {row["architecture"] for row in infeasible} & {job.architecture.digest for job in jobs}
    assert all(row["val_accuracy"] == "" and f"search.budget.{key}" in row["reason"] for row in infeasible)
    assert harness.study is not None
    for row in infeasible:
        trial = harness.study.trials[int(row["number"])]
        assert trial.state == TrialState.PRUNED
        assert trial.constraints[key] == pytest.approx(int(row[column]) / scale / most - 1)
        assert trial.constraints[key] > 0


@pytest.mark.slow
def test_raising_trials_produces_the_table_of_a_study_with_more_trials(tmp_path: Path) -> None:
    StudyHarness(tmp_path / "raised", trials=4).run()
    raised = StudyHarness(tmp_path / "raised", trials=9).run()
    assert raised == StudyHarness(tmp_path / "once", trials=9).run()
    assert {row["compute_dtype"] for row in rows(raised)} == {"bfloat16"}


@pytest.mark.slow
def test_raising_trials_trains_only_new_trials_and_those_in_training_at_the_end(tmp_path: Path) -> None:
    jobs: dict[int, list[Job]] = {20: [], 24: []}

    def run(trials: int) -> list[dict[str, str]]:
        return rows(StudyHarness(tmp_path, recording(jobs[trials]), trials=trials, startup_trials=6).run())

    before, raised = run(20), run(24)
    # Only trials in training when the smaller study drew its last one may end differently.
    at_most = StudyHarness(tmp_path).settings.concurrency
    assert sum(row != earlier for row, earlier in zip(raised, before, strict=False)) <= at_most
    again = {job.seed for job in jobs[24]} & {job.seed for job in jobs[20]}
    assert len(again) <= at_most
    assert {job.seed for job in jobs[24]} - again
    assert len(raised) == 24


@pytest.mark.slow
def test_after_the_timeout_running_trials_finish_and_the_next_run_resumes(tmp_path: Path) -> None:
    short, numbers = StudyHarness(tmp_path / "short", timeout_hours=1e-9, concurrency=1), []
    for _ in range(2):
        driver = short.driver()
        numbers += [result.number for result in driver.run()]
        assert driver.ended()[0].state == "complete"
    assert numbers == [0]
    whole = StudyHarness(tmp_path / "whole", concurrency=1).run()
    assert StudyHarness(tmp_path / "short", concurrency=1).run() == whole


@pytest.mark.slow
def test_an_equal_candidate_is_not_trained_twice(tmp_path: Path) -> None:
    jobs: list[Job] = []
    space = {"filters": {"choices": (8, 16)}, "kernel_size": {"choices": (3, 5)}}
    harness = StudyHarness(tmp_path, recording(jobs), trials=12, space=space, pruner="none")
    found = rows(harness.run())
    assert len(found) == 12
    trained = [row for row in found if row["state"] == "complete"]
    reused = [row for row in found if row["state"] == "reused"]
    assert len(trained) == 4
    assert len({row["architecture"] for row in trained}) == 4
    assert len(jobs) == 3 * len(trained)
    by_number = {row["number"]: row for row in found}
    for row in reused:
        original = by_number[row["reason"].split("trial ")[1].split(",")[0]]
        assert (row["architecture"], row["val_accuracy"]) == (original["architecture"], original["val_accuracy"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("space", "different"),
    [
        ({"filters": {"choices": (8,)}, "pool_strides": {"choices": (2, 3)}}, 3),
        ({"learning_rate": {"choices": (0.001, 0.003)}}, 2),
        ({"optimizer": {"choices": ("adam", "adamw")}, "learning_rate": {"choices": (0.001, 0.002)}}, 3),
        ({"pooling": {"choices": ("none",)}, "filters": {"choices": (4, 8)}}, 3),
    ],
    ids=["pool_strides as the window", "as in training", "adam is adamw", "all different"],
)
def test_candidates_with_equivalent_training_are_trained_once(
    tmp_path: Path, space: dict[str, Any], different: int
) -> None:
    jobs: list[Job] = []
    harness = StudyHarness(tmp_path, recording(jobs), trials=10, space=space, pruner="none")
    found = rows(harness.run())
    assert sum(row["state"] == "complete" for row in found) == different
    assert sum(row["state"] == "reused" for row in found) == 10 - different
    assert sum(job.state is None for job in jobs) == different


def test_duplicates_of_a_failed_candidate_reuse_the_next_successful_one(tmp_path: Path) -> None:
    calls: list[int] = []

    def fail_first(job: Job, data: TrainingData) -> RungResult:
        calls.append(job.seed)
        return RungResult(failure="diverged", detail="NaN") if job.seed == calls[0] else learn(job, data)

    space = {"filters": 16}  # every candidate is the baseline
    found = rows(StudyHarness(tmp_path, fail_first, trials=4, space=space, pruner="none").run())
    assert [row["state"] for row in found] == ["failed", "complete", "reused", "reused"]
    assert [row["reason"] for row in found[2:]] == ["same candidate as trial 1, whose result is reused"] * 2


@pytest.mark.slow
def test_expensive_candidates_wait_until_the_study_has_spent_as_much(tmp_path: Path) -> None:
    def first_jobs(name: str, cost_aware: bool) -> list[int]:
        macs: list[int] = []

        def record(job: Job, data: TrainingData) -> RungResult:
            if job.state is None:
                macs.append(compute_geometry(job.architecture).macs)
            return learn(job, data)

        budget = {"max_params": None, "max_macs": None, "max_activation_mb": None, "max_latency_ms": None}
        harness = StudyHarness(
            tmp_path / name, record, trials=16, space=WIDE, cost_aware=cost_aware, startup_trials=16, budget=budget
        )
        harness.run()
        return macs

    aware, unaware = first_jobs("aware", True), first_jobs("unaware", False)
    assert len(aware) == len(unaware) == 16
    assert sum(aware[:6]) < sum(unaware[:6])
    assert sum(aware[:6]) < sum(aware[-6:])


@pytest.mark.slow
def test_only_the_states_of_the_best_trials_are_kept(tmp_path: Path) -> None:
    harness = StudyHarness(tmp_path, trials=8, pruner="none", keep_checkpoints=2)
    found = rows(harness.run())
    best = sorted(found, key=lambda row: -float(row["val_accuracy"]))[:2]
    kept = {path.name for path in (tmp_path / "states").glob("*")}
    assert kept == {f"{row['number']}-9.npz" for row in best}


@pytest.mark.slow
def test_enqueued_candidates_follow_the_baseline_unchanged(tmp_path: Path) -> None:
    harness = StudyHarness(tmp_path, trials=5)
    wide = Block(filters=48, kernel_size=7)
    architecture = Architecture(input_shape=INPUT_SHAPE, classes=CLASSES, blocks=(wide,), head=Head())
    harness.enqueued = (Candidate(architecture=architecture, training={"learning_rate": 0.5}),)
    found = rows(harness.run())
    assert (found[1]["effective.filters"], found[1]["effective.kernel_size"]) == ("48", "7")
    assert found[1]["effective.learning_rate"] == "0.5"
    assert found[1]["drawn.filters"] == "16"  # the nearest value of the space, for the sampler to learn from


class Backwards:
    """An engine whose most recently submitted job finishes first."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}

    def submit(self, number: int, job: Job) -> None:
        self._jobs[number] = job

    def wait(self, number: int | None) -> tuple[int, RungResult]:
        chosen = list(self._jobs)[-1] if number is None else number
        return chosen, learn(self._jobs.pop(chosen), cast(TrainingData, None))

    def close(self) -> None: ...


@pytest.mark.slow
@pytest.mark.parametrize("synchronous", [True, False])
def test_decisions_depend_on_the_speed_of_workers_unless_the_study_is_synchronous(
    tmp_path: Path, synchronous: bool
) -> None:
    inline = rows(StudyHarness(tmp_path / "inline", trials=12, concurrency=2).run())
    harness = StudyHarness(tmp_path / "backwards", trials=12, concurrency=2, synchronous=synchronous)
    harness.engine = Backwards()
    found = rows(harness.run())
    assert (found == inline) is synchronous
    assert len([row for row in found if row["state"] in ("complete", "pruned")]) == 12


def test_no_state_is_left_when_the_study_is_over(tmp_path: Path) -> None:
    StudyHarness(tmp_path, keep_checkpoints=0).run()
    assert list((tmp_path / "states").glob("*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("objectives", [("val_accuracy",), ("val_accuracy", "params")])
def test_the_trials_in_the_driver_equal_those_in_the_database(tmp_path: Path, objectives: tuple[str, ...]) -> None:
    harness = StudyHarness(tmp_path, trials=8, objectives=objectives, space=WIDE, budget=BUDGET)
    harness.run()
    assert harness.study is not None
    stored = load_study(study_name=harness.study.study_name, storage=harness.address)
    for known, read in zip(harness.study.get_trials(), stored.get_trials(), strict=True):
        for part in ("number", "state", "values", "params", "distributions", "user_attrs", "system_attrs"):
            assert getattr(known, part) == getattr(read, part), part
        assert known.intermediate_values == read.intermediate_values
        assert known._trial_id == read._trial_id
        assert (known.datetime_start, known.datetime_complete) == (read.datetime_start, read.datetime_complete)


def states(harness: StudyHarness) -> list[str]:
    return sorted(path.name.partition("-")[0] for path in (harness.folder / "states").glob("*"))


def test_the_geometry_of_a_candidate_is_computed_once(tmp_path: Path) -> None:
    harness = StudyHarness(tmp_path, trials=8)
    compute_geometry.cache_clear()
    driver = harness.driver()
    for _ in driver.run():
        pass
    networks = {result.candidate.architecture for result in driver.ended()}
    assert compute_geometry.cache_info().misses == len(networks) > 1
