"""The driver, on made-up learning curves."""

import csv
import io
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from pipeline.terminal import UserError
from search.job import Data, Job, Outcome
from search.rungs import rungs
from tests.search.laboratory import Laboratory, learn

BUDGET = {"max_params": 14_000, "max_macs": None, "max_activation_mb": None, "max_latency_ms": None}
WRITES = (
    "create_new_trial",
    "set_trial_param",
    "set_trial_state_values",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
)


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def rows(table: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table)))


def test_trial_0_trains_the_baseline_exactly_as_written(tmp_path: Path) -> None:
    jobs: list[Job] = []

    def note(job: Job, data: Data) -> Outcome:
        jobs.append(job)
        return learn(job, data)

    laboratory = Laboratory(tmp_path, note, trials=1, space={"filters": {"choices": (4, 8)}})
    laboratory.run()
    assert jobs[0].architecture.blocks == laboratory.params.model.blocks
    assert jobs[0].architecture.head == laboratory.params.model.head
    assert jobs[0].training.learning_rate == laboratory.params.training.learning_rate
    assert jobs[0].training.epochs == laboratory.settings.epochs


def test_each_rung_goes_on_from_the_state_of_the_one_before(tmp_path: Path) -> None:
    jobs: list[Job] = []

    def note(job: Job, data: Data) -> Outcome:
        jobs.append(job)
        return learn(job, data)

    laboratory = Laboratory(tmp_path, note, trials=1, pruner="none")
    laboratory.run()
    assert [job.until for job in jobs] == [rung.epoch for rung in rungs(laboratory.settings)] == [1, 3, 9]
    assert [job.state for job in jobs] == [None, *(f"[{jobs[0].seed}, {until}]".encode() for until in (1, 3))]


def test_the_same_seed_gives_the_same_table(tmp_path: Path) -> None:
    assert Laboratory(tmp_path / "one").run() == Laboratory(tmp_path / "two").run()


def test_bad_trials_are_pruned_at_a_rung(tmp_path: Path) -> None:
    states = [row["state"] for row in rows(Laboratory(tmp_path, trials=12).run())]
    assert {"complete", "pruned"} == set(states)


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


def test_candidates_over_budget_are_not_trained_and_do_not_count(tmp_path: Path) -> None:
    budget = BUDGET
    laboratory = Laboratory(tmp_path, trials=6, budget=budget, space={"filters": {"choices": (4, 8, 16, 32, 64)}})
    found = rows(laboratory.run())
    infeasible = [row for row in found if row["state"] == "infeasible"]
    assert infeasible
    assert len(found) - len(infeasible) == 6
    assert all(row["val_accuracy"] == "" and "search.budget.max_params" in row["reason"] for row in infeasible)
    assert laboratory.study is not None
    for row in infeasible:
        trial = laboratory.study.trials[int(row["number"])]
        assert trial.state == TrialState.PRUNED
        assert trial.constraints["max_params"] == pytest.approx(int(row["params"]) / 14_000 - 1)


def test_a_study_in_which_nothing_more_fits_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.ledger.MOST_INFEASIBLE_IN_A_ROW", 5)
    budget = BUDGET
    laboratory = Laboratory(tmp_path, budget=budget, space={"filters": {"choices": (64, 128)}})
    with pytest.raises(UserError, match=r"5 draws in a row.*raise search\.budget"):
        laboratory.run()


def test_raising_trials_gives_what_more_trials_had_given_at_once(tmp_path: Path) -> None:
    Laboratory(tmp_path / "raised", trials=4).run()
    assert Laboratory(tmp_path / "raised", trials=9).run() == Laboratory(tmp_path / "once", trials=9).run()


def test_lowering_trials_reports_the_first_ones_only(tmp_path: Path) -> None:
    Laboratory(tmp_path / "lowered", trials=9).run()
    assert Laboratory(tmp_path / "lowered", trials=4).run() == Laboratory(tmp_path / "once", trials=4).run()


def test_too_many_failures_stop_the_study_with_a_table_of_why(tmp_path: Path) -> None:
    def diverge(job: Job, data: Data) -> Outcome:
        return Outcome(failure="diverged", detail=f"the loss is NaN in epoch {job.until}")

    laboratory = Laboratory(tmp_path, diverge, max_failures=1, concurrency=1, cost_aware=False)
    with pytest.raises(UserError, match=r"trial 0: diverged: the loss is NaN in epoch 1\n  trial 1: diverged"):
        laboratory.run()


def test_a_failed_trial_is_reported_with_its_reason(tmp_path: Path) -> None:
    calls: list[int] = []

    def fail_third(job: Job, data: Data) -> Outcome:
        calls.append(job.until)
        if len(calls) == 4:
            return Outcome(failure="out_of_memory", detail="no room")
        return learn(job, data)

    found = rows(Laboratory(tmp_path, fail_third, trials=3).run())
    assert [row["reason"] for row in found if row["state"] == "failed"] == ["out_of_memory: no room"]
    assert len(found) == 3


def test_a_bug_stops_the_study_as_itself(tmp_path: Path) -> None:
    def broken(job: Job, data: Data) -> Outcome:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        Laboratory(tmp_path, broken).run()
    assert Laboratory(tmp_path).run() == Laboratory(tmp_path / "undisturbed").run()


def test_no_state_is_left_when_the_study_is_over(tmp_path: Path) -> None:
    Laboratory(tmp_path, keep_states=0).run()
    assert list((tmp_path / "states").glob("*")) == []


def test_rungs_that_were_reported_are_not_trained_again(tmp_path: Path) -> None:
    jobs: list[Job] = []

    def die_in_the_third_rung(job: Job, data: Data) -> Outcome:
        jobs.append(job)
        if job.until == 9:
            raise Killed
        return learn(job, data)

    with pytest.raises(Killed):
        Laboratory(tmp_path, die_in_the_third_rung, trials=1, pruner="none").run()
    resumed: list[Job] = []

    def note(job: Job, data: Data) -> Outcome:
        resumed.append(job)
        return learn(job, data)

    Laboratory(tmp_path, note, trials=1, pruner="none").run()
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


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int]:
    """The table of a study that nothing disturbed, and how often it wrote to the storage."""
    writes = [0]

    def counted(write: Any) -> Any:
        def called(*arguments: Any, **more: Any) -> Any:
            writes[0] += 1
            return write(*arguments, **more)

        return called

    with pytest.MonkeyPatch.context() as patch:
        for name in WRITES:
            patch.setattr(RDBStorage, name, counted(getattr(RDBStorage, name)))
        table = Laboratory(tmp_path_factory.mktemp("undisturbed"), **KILLED_STUDY).run()
    return table, writes[0]


KILLED_STUDY: dict[str, Any] = {
    "trials": 6,
    "budget": BUDGET,
    "space": {
        "filters": {"choices": (4, 8, 16, 32)},
        "learning_rate": {"low": 0.001, "high": 0.1, "log": True},
    },
}


def points(writes: int, share: float) -> Iterator[int]:
    chosen = random.Random(0).sample(range(1, writes + 1), max(1, round(share * writes)))
    yield from sorted(chosen)


def check_killed_at(folder: Path, number: int, table: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        kill_after_write(patch, number)
        with pytest.raises(Killed):
            Laboratory(folder, **KILLED_STUDY).run()
    assert Laboratory(folder, **KILLED_STUDY).run() == table, f"killed after write {number}"


def test_a_killed_study_ends_as_the_undisturbed_one(tmp_path: Path, undisturbed: tuple[str, int]) -> None:
    table, writes = undisturbed
    assert {"complete", "pruned", "infeasible"} <= {row["state"] for row in rows(table)}
    for number in points(writes, 0.08):
        check_killed_at(tmp_path / str(number), number, table)


@pytest.mark.slow
def test_a_study_killed_after_any_write_ends_as_the_undisturbed_one(
    tmp_path: Path, undisturbed: tuple[str, int]
) -> None:
    table, writes = undisturbed
    for number in range(1, writes + 1):
        check_killed_at(tmp_path / str(number), number, table)
