"""Learning rate schedules and weight decay."""

from typing import Any

import numpy as np
import pytest

from pipeline.cnn.architecture import Architecture
from pipeline.training.fit import Fit, fit
from tests.pipeline.training.trainings import (
    PLAIN,
    RANDOM,
    figures,
    training,
)

DATA = figures()


def train(
    architecture: Architecture = PLAIN, data: Any = DATA, seed: int = 1, shares: Any = None, **settings: Any
) -> Fit:
    return fit(architecture, training(**settings), data, seed=seed, shares=shares)


def learning_rates(schedule: str) -> list[float]:
    return [entry.learning_rate for entry in train(epochs=10, batch_size=36, schedule=schedule).history]


@pytest.mark.slow
def test_a_constant_learning_rate_does_not_change() -> None:
    assert learning_rates("constant") == pytest.approx([0.01] * 10)


@pytest.mark.slow
def test_a_cosine_learning_rate_falls_from_its_peak_towards_zero() -> None:
    expected = 0.01 * (1 + np.cos(np.pi * np.arange(10) / 10)) / 2
    assert learning_rates("cosine") == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_a_one_cycle_learning_rate_rises_to_its_peak_and_falls_towards_zero() -> None:
    rates = learning_rates("one_cycle")
    assert rates[0] == pytest.approx(0.01 / 25)
    assert rates[3] == pytest.approx(0.01)  # after 30% of the steps
    assert np.all(np.diff(rates[:4]) > 0)
    assert np.all(np.diff(rates[3:]) < 0)
    assert rates[-1] < 0.01 / 10


def test_the_schedule_spans_the_actual_number_of_steps_of_epochs_with_shares() -> None:
    shares = (0.25, 0.5, 1.0, 1.0)  # of 72 images, in batches of 16: 2, 3, 5 and 5 steps
    rates = [e.learning_rate for e in train(epochs=4, schedule="cosine", shares=shares).history]
    expected = 0.01 * (1 + np.cos(np.pi * np.array([0, 2, 5, 10]) / 15)) / 2
    assert rates == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_weight_decay_shrinks_kernels_but_not_biases() -> None:
    """The learning rate is so small that only the decay changes the weights."""
    settings = {"optimizer": "sgd", "momentum": 0.0, "learning_rate": 1e-9, "epochs": 1, "batch_size": 72}
    kept = train(RANDOM, **settings).model().get_weights()
    decayed = train(RANDOM, **settings, weight_decay=1e8).model()
    for weight, before, after in zip(decayed.weights, kept, decayed.get_weights(), strict=True):
        factor = 0.9 if weight.name == "kernel" else 1.0
        np.testing.assert_allclose(after, before * factor, rtol=1e-4, atol=1e-5, err_msg=weight.path)
