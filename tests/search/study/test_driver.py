"""The driver, on made-up learning curves."""

import csv
import io
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, cast

import pytest
from optuna import load_study
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.candidate import Candidate
from pipeline.cnn.geometry import describe
from pipeline.errors import UserError
from pipeline.params import Block, Head
from pipeline.params_file import load_params
from search.study.job import Job, RungResult, StudyData
from search.study.results import best_of, pareto_front
from search.study.rungs import rungs, rungs_in_words, shares, with_long_rungs
from tests.search.laboratory import CLASSES, INPUT_SHAPE, PARAMS, SMALL_SPACE, Laboratory, learn, noting
from tests.search.spaces import WIDE as EVERY_KEY

BUDGET = {"max_params": 14_000, "max_macs": None, "max_activation_mb": None, "max_latency_ms": None}
WIDE = {
    "filters": {"choices": (2, 4, 8, 16, 32, 64)},
    "kernel_size": {"choices": (1, 3, 5)},
    "learning_rate": {"low": 0.001, "high": 0.1, "log": True},
}
WRITES = (
    "create_new_trial",
    "set_trial_param",
    "set_trial_state_values",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
    "set_study_system_attr",
)


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def rows(table: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table)))


def test_trial_0_trains_the_baseline_exactly_as_written(tmp_path: Path) -> None:
    jobs: list[Job] = []
    laboratory = Laboratory(tmp_path, noting(jobs), trials=1, space={"filters": {"choices": (4, 8)}})
    laboratory.run()
    assert jobs[0].architecture.blocks == laboratory.params.model.blocks
    assert jobs[0].architecture.head == laboratory.params.model.head
    assert jobs[0].training.learning_rate == laboratory.params.training.learning_rate
    assert jobs[0].training.epochs == laboratory.settings.epochs


def test_each_rung_goes_on_from_the_state_of_the_one_before(tmp_path: Path) -> None:
    jobs: list[Job] = []
    laboratory = Laboratory(tmp_path, noting(jobs), trials=1, pruner="none")
    laboratory.run()
    assert [job.until for job in jobs] == [rung.epoch for rung in rungs(laboratory.settings)] == [1, 3, 9]
    assert [job.state for job in jobs] == [None, *(f"[{jobs[0].seed}, {until}]".encode() for until in (1, 3))]


@pytest.mark.slow
def test_what_is_trained_is_said_before_each_wait(tmp_path: Path) -> None:
    laboratory = Laboratory(tmp_path, trials=3, concurrency=1)
    laboratory.run()
    assert laboratory.waits[:2] == ["trial 0, epochs 1 to 1 of 9", "trial 0, epochs 2 to 3 of 9"]
    together = Laboratory(tmp_path / "together", trials=6, concurrency=2, synchronous=False)
    together.folder.mkdir()
    together.run()
    assert all(re.fullmatch(r"trials? \d+(, \d+|, epochs \d to \d of 9)", each) for each in together.waits)
    assert any(each.startswith("trials ") for each in together.waits)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_table(tmp_path: Path) -> None:
    assert Laboratory(tmp_path / "one").run() == Laboratory(tmp_path / "two").run()


@pytest.mark.slow
def test_bad_trials_are_pruned_at_a_rung(tmp_path: Path) -> None:
    states = [row["state"] for row in rows(Laboratory(tmp_path, trials=12).run())]
    assert {"complete", "pruned"} == set(states)


@pytest.mark.slow
def test_tpe_draws_by_what_it_saw_once_the_random_trials_are_over(tmp_path: Path) -> None:
    in_order = {"concurrency": 1, "cost_aware": False}
    drawn = [
        [
            row["drawn.learning_rate"]
            for row in rows(Laboratory(tmp_path / name, trials=12, startup_trials=n, **in_order).run())
        ]
        for name, n in (("tpe", 6), ("random", 1000))
    ]
    assert drawn[0][:6] == drawn[1][:6]
    assert not set(drawn[0][6:]) & set(drawn[1][6:])


@pytest.mark.slow
def test_the_first_trials_keep_most_values_of_the_best_one_unless_drawn_at_random(tmp_path: Path) -> None:
    def kept(startup: str) -> list[float]:
        """The share of its values that each trial has in common with the best one before it."""
        laboratory = Laboratory(
            tmp_path / startup, startup=startup, trials=16, startup_trials=16, space=load_params(PARAMS).search.space,
            concurrency=1, cost_aware=False, pruner="none",
        )  # fmt: skip
        found, best, shares = rows(laboratory.run()), 0, []
        for number, row in enumerate(found[1:], 1):
            drawn = [key for key in row if key.startswith("drawn.") and row[key] and found[best][key]]
            shares.append(sum(row[key] == found[best][key] for key in drawn) / len(drawn))
            if row["state"] == "complete" and float(row["val_accuracy"]) > float(found[best]["val_accuracy"]):
                best = number
        assert best > 0  # so that there was another best one than the baseline
        return shares

    near, random = kept("near_best"), kept("random")
    assert min(near) > 0.5
    assert median(near) > 0.7
    assert median(random) < 0.5


@pytest.mark.slow
def test_tpe_weighs_a_part_of_a_large_study_and_still_repeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"trials": 16, "objectives": ("val_accuracy", "params"), "space": WIDE}
    whole = Laboratory(tmp_path / "whole", **settings).run()
    monkeypatch.setattr("search.study.sampler.ALL_ARE_SEEN", 6)
    seen = [Laboratory(tmp_path / name, **settings).run() for name in ("one", "two")]
    assert seen[0] == seen[1]
    assert rows(seen[0])[:6] == rows(whole)[:6]
    assert seen[0] != whole


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
    laboratory = Laboratory(
        tmp_path, noting(jobs), trials=6, budget=budget, space={"filters": {"choices": (4, 8, 16, 32, 64)}}
    )
    found = rows(laboratory.run())
    infeasible = [row for row in found if row["state"] == "infeasible"]
    assert infeasible
    assert len(found) - len(infeasible) == 6
    assert not {row["architecture"] for row in infeasible} & {job.architecture.digest for job in jobs}
    assert all(row["val_accuracy"] == "" and f"search.budget.{key}" in row["reason"] for row in infeasible)
    assert laboratory.study is not None
    for row in infeasible:
        trial = laboratory.study.trials[int(row["number"])]
        assert trial.state == TrialState.PRUNED
        assert trial.constraints[key] == pytest.approx(int(row[column]) / scale / most - 1)
        assert trial.constraints[key] > 0


def test_a_study_in_which_nothing_more_fits_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.study.tally.MOST_INFEASIBLE_IN_A_ROW", 5)
    budget = BUDGET
    laboratory = Laboratory(tmp_path, budget=budget, space={"filters": {"choices": (64, 128)}})
    with pytest.raises(UserError, match=r"5 draws in a row.*raise search\.budget"):
        laboratory.run()


@pytest.mark.slow
def test_raising_trials_gives_what_more_trials_had_given_at_once(tmp_path: Path) -> None:
    Laboratory(tmp_path / "raised", trials=4).run()
    assert Laboratory(tmp_path / "raised", trials=9).run() == Laboratory(tmp_path / "once", trials=9).run()


@pytest.mark.slow
def test_lowering_trials_reports_the_first_ones_only(tmp_path: Path) -> None:
    Laboratory(tmp_path / "lowered", trials=9).run()
    assert Laboratory(tmp_path / "lowered", trials=4).run() == Laboratory(tmp_path / "once", trials=4).run()


@pytest.mark.slow
def test_raising_trials_trains_only_what_the_smaller_study_had_no_time_for(tmp_path: Path) -> None:
    jobs: dict[int, list[Job]] = {20: [], 24: []}

    def run(trials: int) -> list[dict[str, str]]:
        return rows(Laboratory(tmp_path, noting(jobs[trials]), trials=trials, startup_trials=6).run())

    before, raised = run(20), run(24)
    # Only what was in training when the smaller study stopped to ask may be judged otherwise.
    at_most = Laboratory(tmp_path).settings.concurrency
    assert sum(row != earlier for row, earlier in zip(raised, before, strict=False)) <= at_most
    again = {job.seed for job in jobs[24]} & {job.seed for job in jobs[20]}
    assert len(again) <= at_most
    assert {job.seed for job in jobs[24]} - again
    assert len(raised) == 24


@pytest.mark.slow
def test_a_study_whose_time_is_up_finishes_what_has_begun_and_goes_on_when_it_is_run_again(tmp_path: Path) -> None:
    short, numbers = Laboratory(tmp_path / "short", hours=1e-9, concurrency=1), []
    for _ in range(2):
        driver = short.driver()
        numbers += [result.number for result in driver.run()]
        assert driver.ended()[0].state == "complete"
    assert numbers == [0]
    whole = Laboratory(tmp_path / "whole", concurrency=1).run()
    assert Laboratory(tmp_path / "short", concurrency=1).run() == whole


@pytest.mark.slow
def test_an_equal_candidate_is_not_trained_twice(tmp_path: Path) -> None:
    jobs: list[Job] = []
    space = {"filters": {"choices": (8, 16)}, "kernel_size": {"choices": (3, 5)}}
    laboratory = Laboratory(tmp_path, noting(jobs), trials=12, space=space, pruner="none")
    found = rows(laboratory.run())
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
    ids=["pool_strides as the window", "as in training", "adam is adamw", "as different as they look"],
)
def test_what_comes_to_the_same_training_is_trained_once_however_it_is_written(
    tmp_path: Path, space: dict[str, Any], different: int
) -> None:
    jobs: list[Job] = []
    laboratory = Laboratory(tmp_path, noting(jobs), trials=10, space=space, pruner="none")
    found = rows(laboratory.run())
    assert sum(row["state"] == "complete" for row in found) == different
    assert sum(row["state"] == "reused" for row in found) == 10 - different
    assert sum(job.state is None for job in jobs) == different


def test_a_failed_candidate_hands_its_twins_on_to_the_next_try(tmp_path: Path) -> None:
    calls: list[int] = []

    def fail_first(job: Job, data: StudyData) -> RungResult:
        calls.append(job.seed)
        return RungResult(failure="diverged", detail="NaN") if job.seed == calls[0] else learn(job, data)

    space = {"filters": 16}  # every candidate is the baseline
    found = rows(Laboratory(tmp_path, fail_first, trials=4, space=space, pruner="none").run())
    assert [row["state"] for row in found] == ["failed", "complete", "reused", "reused"]
    assert [row["reason"][-43:] for row in found[2:]] == [
        "the same candidate as trial 1, whose result it has"[-43:]
    ] * 2


@pytest.mark.slow
def test_dear_candidates_wait_until_the_study_has_spent_as_much(tmp_path: Path) -> None:
    def first_jobs(name: str, cost_aware: bool) -> list[int]:
        macs: list[int] = []

        def note(job: Job, data: StudyData) -> RungResult:
            if job.state is None:
                macs.append(describe(job.architecture).macs)
            return learn(job, data)

        budget = {"max_params": None, "max_macs": None, "max_activation_mb": None, "max_latency_ms": None}
        laboratory = Laboratory(
            tmp_path / name, note, trials=16, space=WIDE, cost_aware=cost_aware, startup_trials=16, budget=budget
        )
        laboratory.run()
        return macs

    aware, unaware = first_jobs("aware", True), first_jobs("unaware", False)
    assert len(aware) == len(unaware) == 16
    assert sum(aware[:6]) < sum(unaware[:6])
    assert sum(aware[:6]) < sum(aware[-6:])


@pytest.mark.slow
def test_at_most_keep_states_remain_and_they_are_the_best(tmp_path: Path) -> None:
    laboratory = Laboratory(tmp_path, trials=8, pruner="none", keep_states=2)
    found = rows(laboratory.run())
    best = sorted(found, key=lambda row: -float(row["val_accuracy"]))[:2]
    kept = {path.name for path in (tmp_path / "states").glob("*")}
    assert kept == {f"{row['number']}-9.npz" for row in best}


@pytest.mark.slow
def test_enqueued_candidates_follow_the_baseline_as_they_are(tmp_path: Path) -> None:
    laboratory = Laboratory(tmp_path, trials=5)
    wide = Block(filters=48, kernel_size=7)
    architecture = Architecture(input_shape=INPUT_SHAPE, classes=CLASSES, blocks=(wide,), head=Head())
    laboratory.enqueued = (Candidate(architecture=architecture, training={"learning_rate": 0.5}),)
    found = rows(laboratory.run())
    assert (found[1]["effective.filters"], found[1]["effective.kernel_size"]) == ("48", "7")
    assert found[1]["effective.learning_rate"] == "0.5"
    assert found[1]["drawn.filters"] == "16"  # the nearest value of the space, for the sampler to learn from


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["val_loss", "val_macro_f1"])
def test_another_objective_decides_instead_of_the_accuracy(tmp_path: Path, objective: str) -> None:
    def turned(job: Job, data: StudyData) -> RungResult:
        outcome = learn(job, data)
        history = [epoch | {objective: 1 - epoch["val_accuracy"]} for epoch in outcome.history]
        return RungResult(tuple(history), outcome.state)

    laboratory = Laboratory(tmp_path, turned, trials=12, objectives=(objective,))
    found = rows(laboratory.run())
    driver = laboratory.driver()
    best = best_of(driver.ended(), laboratory.settings)
    assert best is not None
    complete = [float(row["val_accuracy"]) for row in found if row["state"] == "complete"]
    assert best.val_accuracy == (max(complete) if objective == "val_loss" else min(complete))
    assert "pruned" in {row["state"] for row in found}
    assert f"{objective}@1" in found[0]


@pytest.mark.slow
def test_an_equal_candidate_is_reused_with_several_objectives_too(tmp_path: Path) -> None:
    space = {"filters": {"choices": (4, 8)}, "kernel_size": {"choices": (3, 5)}}
    settings: dict[str, Any] = {"trials": 16, "space": space, "sampler": "random"}
    found = rows(Laboratory(tmp_path, objectives=("val_accuracy", "params"), **settings).run())
    assert len(found) == 16
    assert "reused" in {row["state"] for row in found}


@pytest.mark.slow
def test_several_objectives_give_a_front_and_still_prune(tmp_path: Path) -> None:
    laboratory = Laboratory(tmp_path, trials=14, space=WIDE, objectives=("val_accuracy", "params"))
    found = rows(laboratory.run())
    assert {"complete", "pruned"} <= {row["state"] for row in found}
    ended = laboratory.driver().ended()
    front = pareto_front(ended, ("val_accuracy", "params"))
    complete = [result for result in ended if result.state == "complete"]
    for result in complete:
        beaten = any(
            (other.val_accuracy or 0) >= (result.val_accuracy or 0)
            and other.cost["params"] <= result.cost["params"]
            and (other.val_accuracy, other.cost["params"]) != (result.val_accuracy, result.cost["params"])
            for other in complete
        )
        assert (result not in front) == beaten
    best = best_of(ended, laboratory.settings)
    cheapest = best_of(ended, laboratory.settings.model_copy(update={"choose": "cheapest", "tolerance": 0.99}))
    assert best is not None
    assert cheapest is not None
    assert best.val_accuracy == max(result.val_accuracy or 0 for result in complete)
    assert cheapest.cost["params"] == min(result.cost["params"] for result in complete)
    for tolerance in (0.0, 0.05, 0.2):
        settings = laboratory.settings.model_copy(update={"choose": "cheapest", "tolerance": tolerance})
        chosen = best_of(ended, settings)
        near = [each for each in complete if (each.val_accuracy or 0) >= (best.val_accuracy or 0) - tolerance]
        assert chosen is not None
        assert chosen in near
        assert chosen.cost["params"] == min(each.cost["params"] for each in near)


@pytest.mark.slow
def test_the_measured_latency_can_be_an_objective(tmp_path: Path) -> None:
    objectives = ("val_accuracy", "latency_ms")
    laboratory = Laboratory(tmp_path, measured, trials=8, space=WIDE, objectives=objectives)
    found = [row for row in rows(laboratory.run()) if row["state"] == "complete"]
    assert found
    assert laboratory.study is not None
    for row in found:
        values = laboratory.study.trials[int(row["number"])].values
        written = [float(row["val_accuracy"]), float(row["latency_ms"])]
        assert written == pytest.approx(values, rel=1e-14)
        assert float(row["latency_ms"]) == int(row["params"]) / 10_000


SAMPLERS = ["random", "cmaes", "nsga2", "qmc", "grid"]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.slow
def test_every_sampler_gives_a_study_that_repeats(tmp_path: Path, sampler: str) -> None:
    space = SMALL_SPACE | {"learning_rate": {"choices": (0.001, 0.01, 0.1)}} if sampler == "grid" else SMALL_SPACE
    settings: dict[str, Any] = {"trials": 9, "sampler": sampler, "space": space, "pruner": "none"}
    table = Laboratory(tmp_path / "one", **settings).run()
    assert table == Laboratory(tmp_path / "two", **settings).run()
    assert len({row["architecture"] for row in rows(table)}) > 1
    if sampler != "random":
        drawn, at_random = (
            [[value for name, value in row.items() if name.startswith("drawn.")] for row in rows(each)[1:]]
            for each in (table, Laboratory(tmp_path / "random", **settings | {"sampler": "random"}).run())
        )
        assert drawn != at_random
    if sampler == "grid":
        assert len({tuple(values) for values in drawn}) == len(drawn)


def test_a_sampler_whose_library_is_missing_is_told_before_the_study(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"sampler: gp needs the Python package torch.*make extras EXTRAS=gp"):
        Laboratory(tmp_path, sampler="gp").run()


def test_a_grid_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"space\.learning_rate: sampler: grid needs values that can be counted"):
        Laboratory(tmp_path, sampler="grid").run()


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["successive_halving", "median"])
def test_every_pruner_prunes(tmp_path: Path, pruner: str) -> None:
    found = rows(Laboratory(tmp_path, trials=12, pruner=pruner).run())
    assert {"complete", "pruned"} == {row["state"] for row in found}


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["hyperband", "successive_halving", "median"])
def test_the_baseline_is_never_pruned_and_later_trials_compete_with_it(tmp_path: Path, pruner: str) -> None:
    baseline = Laboratory(tmp_path).params.model

    def worse_than(best: bool) -> Callable[[Job, StudyData], RungResult]:
        def work(job: Job, data: StudyData) -> RungResult:
            """The baseline does worse, or better, than all others at each rung."""
            outcome = learn(job, data)
            written = job.architecture.blocks == baseline.blocks and job.architecture.head == baseline.head
            added = (1.0 if best else -1.0) if written else 0.0
            history = tuple({**epoch, "val_accuracy": epoch["val_accuracy"] + added} for epoch in outcome.history)
            return replace(outcome, history=history)

        return work

    worst = rows(Laboratory(tmp_path / "worst", worse_than(False), trials=12, pruner=pruner).run())
    assert worst[0]["state"] == "complete"
    assert "pruned" in {row["state"] for row in worst}
    best = rows(Laboratory(tmp_path / "best", worse_than(True), trials=12, pruner=pruner).run())
    pruned = [sum(row["state"] == "pruned" for row in found) for found in (best, worst)]
    assert pruned[0] >= pruned[1]


@pytest.mark.parametrize(
    ("images", "batch_size", "fidelity", "expected"),
    [
        (1221, 64, "epochs", [2, 6, 9]),  # 20 steps an epoch
        (122, 64, "epochs", [9]),  # 2 steps an epoch: 18 steps are all there are
        (122, 8, "epochs", [3, 9]),
        (10_000, 64, "epochs", [1, 3, 9]),
        (10_000, 64, "both", [2, 6, 9]),  # the first epochs take a part of the images
    ],
)
def test_the_first_rung_has_enough_steps_to_learn_something(
    tmp_path: Path, images: int, batch_size: int, fidelity: str, expected: list[int]
) -> None:
    asked = Laboratory(tmp_path, fidelity=fidelity, min_epochs=1, min_steps=40).settings
    settings = with_long_rungs(asked, images, batch_size)
    assert [rung.epoch for rung in rungs(settings)] == expected
    said = rungs_in_words(settings, images, batch_size)
    assert ("no trial is pruned" in said) == (len(expected) == 1)
    assert with_long_rungs(asked.model_copy(update={"min_steps": 0}), images, batch_size).min_epochs == 1


@pytest.mark.parametrize(
    ("fidelity", "expected"),
    [
        ("epochs", [(1, 1, 1.0), (3, 3, 1.0), (9, 9, 1.0)]),
        ("data", [(1, 1, 1 / 9), (3, 2, 1 / 3), (9, 9, 1.0)]),
        ("both", [(1, 1, 1 / 9), (3, 3, 1 / 3), (9, 9, 1.0)]),
    ],
)
def test_rungs_grow_in_epochs_or_in_data(tmp_path: Path, fidelity: str, expected: list[tuple[int, int, float]]) -> None:
    jobs: list[Job] = []
    laboratory = Laboratory(tmp_path, noting(jobs), trials=1, pruner="none", fidelity=fidelity)
    laboratory.run()
    found = rungs(laboratory.settings)
    assert [(rung.resource, rung.epoch, rung.share) for rung in found] == expected
    assert [job.until for job in jobs] == [epoch for _, epoch, _ in expected]
    assert all(job.shares == shares(found) and len(job.shares) == 9 for job in jobs)


def measured(job: Job, data: StudyData) -> RungResult:
    """A learning curve, and a latency that follows from the size of the network."""
    assert job.measure_latency == (job.state is None)
    latency = describe(job.architecture).params / 10_000
    if job.max_latency_ms is not None and latency > job.max_latency_ms:
        return RungResult(latency_ms=latency)
    return replace(learn(job, data), latency_ms=latency)


LATENCY = {"max_params": None, "max_macs": None, "max_activation_mb": None, "max_latency_ms": 1.4}


@pytest.mark.slow
def test_a_network_over_the_measured_latency_is_not_trained(tmp_path: Path) -> None:
    laboratory = Laboratory(tmp_path, measured, trials=6, space=WIDE, budget=LATENCY)
    found = rows(laboratory.run())
    slow = [row for row in found if row["state"] == "infeasible"]
    assert slow
    assert all("ms for one image are over search.budget.max_latency_ms of 1.4" in row["reason"] for row in slow)
    assert all(float(row["latency_ms"]) <= 1.4 for row in found if row["state"] == "complete")
    assert laboratory.study is not None
    assert laboratory.study.trials[int(slow[0]["number"])].constraints["max_latency_ms"] > 0


@pytest.mark.slow
def test_a_network_that_was_too_slow_is_measured_once_and_never_reused(tmp_path: Path) -> None:
    measurements: list[str] = []

    def note(job: Job, data: StudyData) -> RungResult:
        measurements.append(job.architecture.digest)
        return measured(job, data)

    space = {"filters": {"choices": (4, 8, 32)}, "kernel_size": {"choices": (3, 5)}}
    laboratory = Laboratory(tmp_path, note, trials=9, space=space, budget=LATENCY, pruner="none")
    found = rows(laboratory.run())
    slow = [row for row in found if row["state"] == "infeasible"]
    assert len(slow) > len({row["architecture"] for row in slow})  # drawn again, some while the first was in training
    assert len(found) - len(slow) == 9
    assert all(row["latency_ms"] for row in slow)
    assert max(measurements.count(row["architecture"]) for row in slow) == 1
    assert laboratory.study is not None
    trials = laboratory.study.trials
    assert all(trial.state.is_finished() for trial in trials)
    assert all(trials[int(row["number"])].constraints["max_latency_ms"] > 0 for row in slow)


def test_a_baseline_over_the_measured_latency_is_refused(tmp_path: Path) -> None:
    budget = LATENCY | {"max_latency_ms": 0.1}
    with pytest.raises(UserError, match=r"params\.yaml: model: .* ms for one image are over .*max_latency_ms of 0\.1"):
        Laboratory(tmp_path, measured, budget=budget).run()


def test_a_study_in_which_everything_is_too_slow_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.study.tally.MOST_INFEASIBLE_IN_A_ROW", 3)
    laboratory = Laboratory(tmp_path, measured, budget=LATENCY, space={"filters": {"low": 64, "high": 128}})
    with pytest.raises(UserError, match=r"3 draws in a row.*ms for one image"):
        laboratory.run()


class Backwards:
    """Two workers, of which the one that was asked later is done first."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}

    def submit(self, number: int, job: Job) -> None:
        self._jobs[number] = job

    def wait(self, number: int | None) -> tuple[int, RungResult]:
        chosen = list(self._jobs)[-1] if number is None else number
        return chosen, learn(self._jobs.pop(chosen), cast(StudyData, None))

    def close(self) -> None: ...


@pytest.mark.slow
@pytest.mark.parametrize("synchronous", [True, False])
def test_decisions_follow_the_workers_speed_unless_the_study_is_synchronous(tmp_path: Path, synchronous: bool) -> None:
    inline = rows(Laboratory(tmp_path / "inline", trials=12, concurrency=2).run())
    laboratory = Laboratory(tmp_path / "backwards", trials=12, concurrency=2, synchronous=synchronous)
    laboratory.engine = Backwards()
    found = rows(laboratory.run())
    assert (found == inline) is synchronous
    assert len([row for row in found if row["state"] in ("complete", "pruned")]) == 12


def test_too_many_failures_stop_the_study_with_a_table_of_why(tmp_path: Path) -> None:
    def diverge(job: Job, data: StudyData) -> RungResult:
        return RungResult(failure="diverged", detail=f"the loss is NaN in epoch {job.until}")

    laboratory = Laboratory(tmp_path, diverge, max_failures=1, concurrency=1, cost_aware=False)
    with pytest.raises(UserError, match=r"trial 0: diverged: the loss is NaN in epoch 1\n  trial 1: diverged"):
        laboratory.run()


def test_a_failed_trial_is_reported_with_its_reason(tmp_path: Path) -> None:
    calls: list[int] = []

    def fail_third(job: Job, data: StudyData) -> RungResult:
        calls.append(job.until)
        if len(calls) == 4:
            return RungResult(failure="out_of_memory", detail="no room")
        return learn(job, data)

    found = rows(Laboratory(tmp_path, fail_third, trials=3).run())
    assert [row["reason"] for row in found if row["state"] == "failed"] == ["out_of_memory: no room"]
    assert len(found) == 3


@pytest.mark.slow
def test_failed_trials_can_be_tried_again_once_the_machine_is_mended(tmp_path: Path) -> None:
    jobs: list[Job] = []
    broken = [True]

    def work(job: Job, data: StudyData) -> RungResult:
        jobs.append(job)
        if broken[0] and job.until == 3:
            return RungResult(failure="out_of_memory", detail="somebody else has it")
        return learn(job, data)

    laboratory = Laboratory(tmp_path / "mended", work, max_failures=1, pruner="none")
    with pytest.raises(UserError, match=r"fix it, and run `fovea search --retry-failed`"):
        laboratory.run()
    broken[0], before = False, [job for job in jobs if job.until == 1]
    with pytest.raises(UserError, match="2 trials failed"):
        laboratory.run()
    jobs.clear()
    assert laboratory.run(retry_failed=True) == Laboratory(tmp_path / "healthy", pruner="none").run()
    assert not {job.seed for job in jobs if job.until == 1} & {job.seed for job in before}
    assert laboratory.run(retry_failed=False) == Laboratory(tmp_path / "healthy", pruner="none").run()


def test_a_study_that_never_began_has_nothing_to_try_again(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must have begun"):
        Laboratory(tmp_path).run(retry_failed=True)


@pytest.mark.slow
def test_a_bug_stops_the_study_as_itself(tmp_path: Path) -> None:
    def broken(job: Job, data: StudyData) -> RungResult:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        Laboratory(tmp_path, broken).run()
    assert Laboratory(tmp_path).run() == Laboratory(tmp_path / "undisturbed").run()


def test_no_state_is_left_when_the_study_is_over(tmp_path: Path) -> None:
    Laboratory(tmp_path, keep_states=0).run()
    assert list((tmp_path / "states").glob("*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("objectives", [("val_accuracy",), ("val_accuracy", "params")])
def test_what_the_driver_knows_of_its_trials_is_what_the_database_holds(
    tmp_path: Path, objectives: tuple[str, ...]
) -> None:
    laboratory = Laboratory(tmp_path, trials=8, objectives=objectives, space=WIDE, budget=BUDGET)
    laboratory.run()
    assert laboratory.study is not None
    stored = load_study(study_name=laboratory.study.study_name, storage=laboratory.address)
    for known, read in zip(laboratory.study.get_trials(), stored.get_trials(), strict=True):
        for part in ("number", "state", "values", "params", "distributions", "user_attrs", "system_attrs"):
            assert getattr(known, part) == getattr(read, part), part
        assert known.intermediate_values == read.intermediate_values
        assert known._trial_id == read._trial_id
        assert (known.datetime_start, known.datetime_complete) == (read.datetime_start, read.datetime_complete)


def test_rungs_that_were_reported_are_not_trained_again(tmp_path: Path) -> None:
    jobs: list[Job] = []

    def die_in_the_third_rung(job: Job, data: StudyData) -> RungResult:
        jobs.append(job)
        if job.until == 9:
            raise Killed
        return learn(job, data)

    with pytest.raises(Killed):
        Laboratory(tmp_path, die_in_the_third_rung, trials=1, pruner="none").run()
    resumed: list[Job] = []

    Laboratory(tmp_path, noting(resumed), trials=1, pruner="none").run()
    assert resumed == [jobs[-1]]


def kill_after_write(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Have the process die once it has written to the storage so many times."""
    left = [number]

    def deadly(write: Any) -> Any:
        def called(*arguments: Any, **more: Any) -> Any:
            result = write(*arguments, **more)
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return result

        return called

    for name in WRITES:
        monkeypatch.setattr(RDBStorage, name, deadly(getattr(RDBStorage, name)))


def sometimes(job: Job, data: StudyData) -> RungResult:
    """Learn, or fail, as the architecture says; as slow as the network is large."""
    if job.architecture.blocks[0].filters == 6:
        return RungResult(failure="diverged", detail="the loss is NaN")
    return measured(job, data) if job.measure_latency else learn(job, data)


# Studies to be killed, each with the states that its trials must have come to.
KILLED_STUDIES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "budget": (
        {
            "trials": 6,
            "budget": BUDGET,
            "space": {
                "filters": {"choices": (4, 8, 16, 32)},
                "learning_rate": {"low": 0.001, "high": 0.1, "log": True},
            },
        },
        {"complete", "pruned", "infeasible"},
    ),
    "twins": (
        {
            "trials": 14,
            "max_failures": 14,
            "budget": LATENCY,
            "space": {"filters": {"choices": (4, 6, 8, 32)}, "kernel_size": {"choices": (3, 5)}},
        },
        {"complete", "pruned", "infeasible", "reused", "failed"},
    ),
    "front": (
        {"trials": 12, "objectives": ("val_accuracy", "params"), "space": EVERY_KEY, "fidelity": "both"},
        {"complete", "pruned"},
    ),
    "conditional": ({"trials": 10, "space": EVERY_KEY, "cost_aware": False}, {"complete", "pruned"}),
    "qmc": ({"trials": 10, "sampler": "qmc"}, {"complete", "pruned"}),
}


def killable(folder: Path, name: str) -> Laboratory:
    return Laboratory(folder, sometimes if name == "twins" else learn, **KILLED_STUDIES[name][0])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[str, list[str], int]]:
    """Gives the table of a study that nothing disturbed, the states it leaves, and how often it wrote to storage."""

    @cache
    def undisturbed(name: str) -> tuple[str, list[str], int]:
        writes = [0]

        def counted(write: Any) -> Any:
            def called(*arguments: Any, **more: Any) -> Any:
                writes[0] += 1
                return write(*arguments, **more)

            return called

        laboratory = killable(tmp_path_factory.mktemp(name), name)
        with pytest.MonkeyPatch.context() as patch:
            for method in WRITES:
                patch.setattr(RDBStorage, method, counted(getattr(RDBStorage, method)))
            table = laboratory.run()
        assert KILLED_STUDIES[name][1] <= {row["state"] for row in rows(table)}
        return table, states(laboratory), writes[0]

    return undisturbed


def states(laboratory: Laboratory) -> list[str]:
    return sorted(path.name.partition("-")[0] for path in (laboratory.folder / "states").glob("*"))


def points(writes: int, share: float) -> Iterator[int]:
    chosen = random.Random(0).sample(range(1, writes + 1), max(1, round(share * writes)))
    yield from sorted(chosen)


def check_killed_at(folder: Path, name: str, number: int, expected: tuple[str, list[str], int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        kill_after_write(patch, number)
        with pytest.raises(Killed):
            killable(folder, name).run()
    resumed = killable(folder, name)
    assert resumed.run() == expected[0], f"{name}, killed after write {number}"
    assert set(states(resumed)) <= set(expected[1]), f"{name}, killed after write {number}"


# The share of the writes at which the study is killed; each takes a study.
SHARES = {"budget": 0.3, "twins": 0.1, "front": 0.05, "conditional": 0.03, "qmc": 0.15}


@pytest.mark.parametrize(
    ("name", "share"),
    [
        pytest.param(name, part * share, marks=mark)
        for part, mark in ((0.1, pytest.mark.slow), (1.0, pytest.mark.long))
        for name, share in SHARES.items()
    ],
)
def test_a_study_killed_after_any_write_ends_as_the_undisturbed_one(
    tmp_path: Path, name: str, share: float, undisturbed: Callable[[str], tuple[str, list[str], int]]
) -> None:
    expected = undisturbed(name)
    for number in points(expected[2], share):
        check_killed_at(tmp_path / str(number), name, number, expected)
