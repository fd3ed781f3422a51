"""The first objective over trials, training effort and wall time."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from pipeline.data.training_data import TrainingData
from search.plots.history import effort, optimization_history, over_wall_time, training_effort
from search.study.config import StudyConfig
from search.study.job import Job, RungResult
from search.study.results import TrialResult
from tests.search.harness import StudyHarness, learn

Studied = tuple[StudyConfig, tuple[TrialResult, ...]]


def fail_with_large_kernels(job: Job, data: TrainingData) -> RungResult:
    if len(job.architecture.blocks) == 3 and job.architecture.blocks[0].kernel_size == 5:
        return RungResult(failure="diverged", detail="the loss is NaN")
    return learn(job, data)


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Studied:
    """A study with trials in every state."""
    harness = StudyHarness(
        tmp_path_factory.mktemp("studied"), fail_with_large_kernels, trials=24, sampler="random", max_failures=24,
        space={
            "blocks": {"low": 1, "high": 3}, "filters": {"choices": (4, 8, 32)}, "kernel_size": {"choices": (3, 5)},
            "residual": {"choices": (False, True)},
        },
        budget={"max_params": 30_000, "max_macs": None, "max_activation_mb": None, "max_latency_ms": None},
    )  # fmt: skip
    driver = harness.driver()
    for _ in driver.run():
        pass
    assert {result.state for result in driver.ended()} == {"complete", "pruned", "reused", "infeasible", "failed"}
    return harness.config, driver.ended()


def dots(axes: Axes, state: str) -> Any:
    """The positions and values of the trials in a state."""
    return np.asarray(next(each for each in axes.collections if each.get_label() == state).get_offsets())


def best_so_far(axes: Axes) -> list[float]:
    return list(next(line for line in axes.lines if line.get_label() == "best so far").get_ydata())


def test_the_history_shows_each_trial_at_its_number(studied: Studied) -> None:
    config, results = studied
    axes = optimization_history(results, config.settings).axes[0]
    complete = [result for result in results if result.state == "complete"]
    values = [result.val_accuracy or 0.0 for result in complete]
    shown = [(number, value) for number, value in zip([each.number for each in complete], values, strict=True)]
    assert dots(axes, "complete") == pytest.approx(np.array(shown))
    assert best_so_far(axes) == [*np.maximum.accumulate(values), max(values)]
    (chosen,) = dots(axes, "chosen")
    assert chosen[1] == max(values)
    for state in ("failed", "infeasible"):
        (line,) = (line for line in axes.lines if line.get_label() == state)
        assert list(line.get_xdata()) == [result.number for result in results if result.state == state]


def test_the_best_value_so_far_is_the_least_loss(studied: Studied) -> None:
    config, results = studied
    settings = config.settings.model_copy(update={"objectives": ("val_loss",)})
    losses = [result.history[-1]["val_loss"] for result in results if result.state == "complete"]
    axes = optimization_history(results, settings).axes[0]
    assert best_so_far(axes) == [*np.minimum.accumulate(losses), min(losses)]


def test_the_effort_of_a_trial_is_its_epochs_times_its_relative_cost(studied: Studied) -> None:
    config, results = studied
    spent = effort(results, config)
    assert spent[0] == len(results[0].history)
    doubled = replace(results[0], number=1, cost=results[0].cost | {"macs": 2 * results[0].cost["macs"]})
    assert effort([results[0], doubled], config)[1] == 2 * len(results[0].history)


@pytest.mark.slow
def test_a_reused_trial_costs_no_effort(studied: Studied) -> None:
    config, results = studied
    spent = effort(results, config)
    for result, cost in zip(results, spent, strict=True):
        assert (cost == 0.0) == (result.state in ("reused", "infeasible") or not result.history)


def test_trials_are_shown_at_the_effort_up_to_their_end(studied: Studied) -> None:
    config, results = studied
    axes = training_effort(results, config).axes[0]
    spent = np.cumsum(effort(results, config))
    assert dots(axes, "complete")[:, 0] == pytest.approx(
        [at for at, result in zip(spent, results, strict=True) if result.state == "complete"]
    )


@pytest.mark.slow
def test_the_wall_time_is_taken_at_the_end_of_each_trial(studied: Studied) -> None:
    config, results = studied
    complete = [result for result in results if result.state == "complete"]
    late = [replace(result, started=1000.0, ended=1000.0 + 3600 * (9 - place)) for place, result in enumerate(complete)]
    axes = over_wall_time(late, config.settings).axes[0]
    assert axes.get_xlabel().startswith("hours")
    at = [9 - len(late) + 1 + place for place in range(len(late))]
    values = [result.val_accuracy or 0.0 for result in late[::-1]]
    assert dots(axes, "complete") == pytest.approx(np.array([at, values]).T)
    assert best_so_far(axes) == [*np.maximum.accumulate(values), max(values)]


@pytest.mark.parametrize(("seconds", "unit"), [(30.0, "seconds"), (90.0, "minutes"), (7200.0, "hours")])
def test_the_unit_of_the_wall_time_fits_the_study(studied: Studied, seconds: float, unit: str) -> None:
    config, results = studied
    axes = over_wall_time([replace(results[0], started=0.0, ended=seconds)], config.settings).axes[0]
    assert axes.get_xlabel().startswith(f"{unit} since")
