"""Studies with other objectives, or with several."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.data.training_data import TrainingData
from pipeline.errors import UserError
from search.study.job import Job, RungResult
from search.study.results import best_of
from tests.search.harness import StudyHarness, learn
from tests.search.study.curves import LATENCY, WIDE, learn_with_latency, rows


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["val_loss", "val_macro_f1", "val_balanced_accuracy"])
def test_another_objective_replaces_accuracy(tmp_path: Path, objective: str) -> None:
    def inverted(job: Job, data: TrainingData) -> RungResult:
        outcome = learn(job, data)
        history = [epoch | {objective: 1 - epoch["val_accuracy"]} for epoch in outcome.history]
        return RungResult(tuple(history), outcome.state)

    harness = StudyHarness(tmp_path, inverted, trials=12, objectives=(objective,))
    found = rows(harness.run())
    driver = harness.driver()
    best = best_of(driver.ended(), harness.settings)
    assert best is not None
    complete = [float(row["val_accuracy"]) for row in found if row["state"] == "complete"]
    assert best.val_accuracy == (max(complete) if objective == "val_loss" else min(complete))
    assert "pruned" in {row["state"] for row in found}
    assert f"{objective}@1" in found[0]


@pytest.mark.slow
def test_an_equal_candidate_is_also_reused_with_several_objectives(tmp_path: Path) -> None:
    space = {"filters": {"choices": (4, 8)}, "kernel_size": {"choices": (3, 5)}}
    settings: dict[str, Any] = {"trials": 16, "space": space, "sampler": "random"}
    found = rows(StudyHarness(tmp_path, objectives=("val_accuracy", "params"), **settings).run())
    assert len(found) == 16
    assert "reused" in {row["state"] for row in found}


@pytest.mark.slow
def test_a_study_with_several_objectives_still_prunes(tmp_path: Path) -> None:
    harness = StudyHarness(tmp_path, trials=14, space=WIDE, objectives=("val_accuracy", "params"))
    assert {"complete", "pruned"} <= {row["state"] for row in rows(harness.run())}


@pytest.mark.slow
def test_the_measured_latency_can_be_an_objective(tmp_path: Path) -> None:
    objectives = ("val_accuracy", "latency_ms")
    harness = StudyHarness(tmp_path, learn_with_latency, trials=8, space=WIDE, objectives=objectives)
    found = [row for row in rows(harness.run()) if row["state"] == "complete"]
    assert found
    assert harness.study is not None
    for row in found:
        values = harness.study.trials[int(row["number"])].values
        written = [float(row["val_accuracy"]), float(row["latency_ms"])]
        assert written == pytest.approx(values, rel=1e-14)
        assert float(row["latency_ms"]) == int(row["params"]) / 10_000


@pytest.mark.slow
def test_a_network_over_the_measured_latency_is_not_trained(tmp_path: Path) -> None:
    harness = StudyHarness(tmp_path, learn_with_latency, trials=6, space=WIDE, budget=LATENCY)
    found = rows(harness.run())
    slow = [row for row in found if row["state"] == "infeasible"]
    assert slow
    assert all("ms for one image exceed search.budget.max_latency_ms of 1.4" in row["reason"] for row in slow)
    assert all(float(row["latency_ms"]) <= 1.4 for row in found if row["state"] == "complete")
    assert harness.study is not None
    assert harness.study.trials[int(slow[0]["number"])].constraints["max_latency_ms"] > 0


@pytest.mark.slow
def test_a_network_that_was_too_slow_is_measured_once_and_never_reused(tmp_path: Path) -> None:
    measurements: list[str] = []

    def record(job: Job, data: TrainingData) -> RungResult:
        measurements.append(job.architecture.digest)
        return learn_with_latency(job, data)

    space = {"filters": {"choices": (4, 8, 32)}, "kernel_size": {"choices": (3, 5)}}
    harness = StudyHarness(tmp_path, record, trials=9, space=space, budget=LATENCY, pruner="none")
    found = rows(harness.run())
    slow = [row for row in found if row["state"] == "infeasible"]
    assert len(slow) > len({row["architecture"] for row in slow})  # drawn again, some while the first was in training
    assert len(found) - len(slow) == 9
    assert all(row["latency_ms"] for row in slow)
    assert max(measurements.count(row["architecture"]) for row in slow) == 1
    assert harness.study is not None
    trials = harness.study.trials
    assert all(trial.state.is_finished() for trial in trials)
    assert all(trials[int(row["number"])].constraints["max_latency_ms"] > 0 for row in slow)


def test_a_baseline_over_the_measured_latency_is_refused(tmp_path: Path) -> None:
    budget = LATENCY | {"max_latency_ms": 0.1}
    with pytest.raises(UserError, match=r"params\.yaml: model: .* ms for one image exceed .*max_latency_ms of 0\.1"):
        StudyHarness(tmp_path, learn_with_latency, budget=budget).run()


def test_a_study_in_which_everything_is_too_slow_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.study.tally.MAX_INFEASIBLE_IN_A_ROW", 3)
    harness = StudyHarness(tmp_path, learn_with_latency, budget=LATENCY, space={"filters": {"low": 64, "high": 128}})
    with pytest.raises(UserError, match=r"the last 3 draws.*ms for one image"):
        harness.run()
