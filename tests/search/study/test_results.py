"""Results of trials: their states, the best one, and the Pareto front."""

from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from pipeline.cnn.candidate import Candidate
from pipeline.params import SearchParams
from search.study.results import (
    COST,
    INFEASIBLE,
    PROPOSAL,
    REASON,
    REUSED,
    STARTED,
    TRAINED,
    State,
    TrialResult,
    best_of,
    pareto_front,
    ranked,
    read_trial,
)
from tests.search.harness import StudyHarness
from tests.search.study.curves import WIDE

HISTORY = [{"epoch": epoch, "loss": 1.0, "val_accuracy": 0.1 * epoch} for epoch in (1, 2, 3)]


@cache
def baseline() -> Candidate:
    return StudyHarness(Path("unused")).config.first_trials[0].candidate


def settings(**changes: Any) -> SearchParams:
    return StudyHarness(Path("unused"), **changes).settings


def stored(state: TrialState, **attributes: Any) -> optuna.trial.FrozenTrial:
    """A trial of Optuna as the driver stores it, with user attributes."""
    drawn = {PROPOSAL: baseline().model_dump(mode="json"), COST: {"params": 100.0, "macs": 5.0}}
    return create_trial(state=state, value=0.3 if state == TrialState.COMPLETE else None, user_attrs=drawn | attributes)


def result(number: int, val_accuracy: float, params: float = 100, state: State = "complete", **cost: float) -> Any:
    """A result with some values of objectives."""
    history = ({"val_accuracy": val_accuracy, "val_loss": 1 - val_accuracy},)
    return TrialResult(
        number, state, "", {}, baseline(), {"params": params} | cost, history, started=0.0, ended=1.0, seconds=1.0
    )


def numbers(results: Any) -> list[int]:
    return [each.number for each in results]


@pytest.mark.parametrize(
    ("stored_state", "attributes", "state", "reason"),
    [
        (TrialState.COMPLETE, {}, "complete", ""),
        (TrialState.COMPLETE, {REUSED: 0, REASON: "same candidate"}, "reused", "same candidate"),
        (TrialState.PRUNED, {REUSED: 0, REASON: "same candidate"}, "reused", "same candidate"),
        (TrialState.PRUNED, {REASON: "others did better"}, "pruned", "others did better"),
        (TrialState.PRUNED, {INFEASIBLE: True, REASON: "too large"}, "infeasible", "too large"),
        (TrialState.FAIL, {REASON: "diverged: NaN"}, "failed", "diverged: NaN"),
        (TrialState.RUNNING, {}, "running", ""),
    ],
)
def test_the_state_follows_from_the_stored_trial(
    stored_state: TrialState, attributes: dict[str, Any], state: State, reason: str
) -> None:
    read = read_trial(stored(stored_state, **attributes))
    assert read is not None
    assert (read.state, read.reason) == (state, reason)
    assert read.counts == (state not in ("infeasible", "running"))
    assert read.trained == (state in ("complete", "pruned", "failed"))
    assert read.kind == ("failed (diverged)" if state == "failed" else state)


def test_values_and_times_are_read_from_the_stored_trial() -> None:
    started = {"nominal": 3.0, "clock": 1000.0}
    read = read_trial(stored(TrialState.COMPLETE, **{TRAINED: {"epochs": HISTORY, "seconds": 7.5}, STARTED: started}))
    assert read is not None
    assert read.candidate == baseline()
    assert (read.history, read.seconds, read.started) == (tuple(HISTORY), 7.5, 1000.0)
    assert read.val_accuracy == read.objective("val_accuracy") == HISTORY[-1]["val_accuracy"]
    assert read.objective("params") == 100.0
    waiting = read_trial(stored(TrialState.RUNNING))
    assert waiting is not None
    assert (waiting.val_accuracy, waiting.ended) == (None, None)
    assert waiting.started == pytest.approx(datetime.now().timestamp(), abs=60)
    with pytest.raises(KeyError):
        waiting.objective("val_accuracy")


def test_a_trial_that_has_not_started_has_no_result() -> None:
    assert read_trial(create_trial(state=TrialState.WAITING)) is None


def test_trials_are_ranked_by_objective_then_parameters_then_number() -> None:
    tied = [result(4, 0.8, 40), result(3, 0.8, 50), result(2, 0.8, 50), result(1, 0.9), result(0, 0.95, state="pruned")]
    assert numbers(ranked(tied, "val_accuracy")) == [1, 4, 2, 3]
    assert numbers(ranked(tied, "val_loss")) == [1, 4, 2, 3]
    assert numbers(ranked(tied, "params")) == [4, 2, 3, 1]


@pytest.mark.parametrize(
    ("changes", "best"),
    [
        ({"choose": "best"}, 0),
        ({"choose": "cheapest", "tolerance": 0.0}, 0),
        ({"choose": "cheapest", "tolerance": 0.02}, 2),  # 1 has as many parameters, and is worse
        ({"choose": "cheapest", "tolerance": 0.5}, 3),
        ({"choose": "cheapest", "tolerance": 0.02, "objectives": ("val_accuracy", "macs")}, 1),
        ({"choose": "cheapest", "tolerance": 0.02, "objectives": ("val_accuracy", "val_loss", "macs")}, 1),
        ({"choose": "cheapest", "tolerance": 0.02, "objectives": ("val_loss",)}, 2),
    ],
)
def test_the_best_trial_is_chosen_by_quality_or_by_cost_within_the_tolerance(
    changes: dict[str, Any], best: int
) -> None:
    results = [
        result(0, 0.90, 100, macs=9),
        result(1, 0.88, 50, macs=1),
        result(2, 0.89, 50, macs=5),
        result(3, 0.50, 10, macs=3),
        result(4, 0.99, 1, macs=0, state="reused"),
        result(5, 0.99, 1, macs=0, state="pruned"),
    ]
    for given in (results, results[::-1]):
        chosen = best_of(given, settings(**changes))
        assert chosen is not None
        assert chosen.number == best


def test_without_a_complete_trial_there_is_no_best_one_and_no_front() -> None:
    pruned = [result(0, 0.9, state="pruned"), result(1, 0.8, state="failed")]
    for choose in ("best", "cheapest"):
        assert best_of(pruned, settings(choose=choose)) is None
    assert pareto_front(pruned, ("val_accuracy", "params")) == ()


def test_the_front_has_the_trials_that_no_other_one_beats_in_all_objectives() -> None:
    results = [
        result(0, 0.9, 100), result(1, 0.8, 100), result(2, 0.8, 50), result(3, 0.8, 50), result(4, 0.9, 101),
        result(5, 0.1, 10), result(6, 0.99, 1, state="pruned"),
    ]  # fmt: skip
    assert numbers(pareto_front(results, ("val_accuracy", "params"))) == [0, 2, 3, 5]
    assert numbers(pareto_front(results, ("val_accuracy",))) == [0, 4]
    assert numbers(pareto_front(results, ("val_loss", "params"))) == [0, 2, 3, 5]


@pytest.mark.slow
def test_the_front_and_the_cheapest_trial_of_a_study_follow_their_definitions(tmp_path: Path) -> None:
    harness = StudyHarness(tmp_path, trials=14, space=WIDE, objectives=("val_accuracy", "params"))
    harness.run()
    ended = harness.driver().ended()
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
    best = best_of(ended, harness.settings)
    cheapest = best_of(ended, harness.settings.model_copy(update={"choose": "cheapest", "tolerance": 0.99}))
    assert best is not None
    assert cheapest is not None
    assert best.val_accuracy == max(result.val_accuracy or 0 for result in complete)
    assert cheapest.cost["params"] == min(result.cost["params"] for result in complete)
    for tolerance in (0.0, 0.05, 0.2):
        settings = harness.settings.model_copy(update={"choose": "cheapest", "tolerance": tolerance})
        chosen = best_of(ended, settings)
        near = [each for each in complete if (each.val_accuracy or 0) >= (best.val_accuracy or 0) - tolerance]
        assert chosen is not None
        assert chosen in near
        assert chosen.cost["params"] == min(each.cost["params"] for each in near)
