"""Bootstrap intervals against sklearn's figures and known distributions."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss, top_k_accuracy_score

from pipeline.evaluation import bootstrap
from pipeline.evaluation.bootstrap import FIGURES, figures, intervals
from pipeline.evaluation.metrics import Predictions, calibration, expected_calibration_error, summary


def drawn(n: int = 400, classes: int = 4, sure: float = 0.5) -> Predictions:
    numbers = np.random.default_rng(0)
    labels = numbers.integers(0, classes, n)
    probabilities = numbers.dirichlet(np.ones(classes), n) + sure * np.eye(classes)[labels]
    return Predictions(probabilities / probabilities.sum(axis=1, keepdims=True), labels)


def test_figures_are_those_of_sklearn() -> None:
    answers = drawn()
    found = {name: float(value[0]) for name, value in figures(answers, np.ones((1, 400)), bins=10).items()}
    labels, predicted, probabilities = answers.labels, answers.predicted, answers.probabilities
    assert tuple(found) == FIGURES
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert found["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert found["log_loss"] == pytest.approx(log_loss(labels, probabilities))
    assert found["expected_calibration_error"] == pytest.approx(expected_calibration_error(calibration(answers, 10)))
    told = summary(answers, confidence=0.95, bins=10, top_k=2)
    assert {name: told[name] for name in FIGURES} == pytest.approx(found)
    assert told["accuracy"] == np.mean(labels == predicted)
    assert told["top_k_accuracy"] == pytest.approx(top_k_accuracy_score(labels, probabilities, k=2))


def test_the_interval_of_a_perfect_network_holds_its_figure_though_resamples_miss_classes() -> None:
    labels = np.repeat(np.arange(50), 2)
    answers = Predictions(np.eye(51)[labels], labels)  # of one class there is no image
    assert summary(answers, 0.95, bins=10, top_k=1)["macro_f1"] == 1.0
    found = intervals(answers, 10, 0.95, 200, seed=0)
    for name in ("balanced_accuracy", "macro_f1"):
        assert found[name] == (1.0, 1.0)


def test_a_weight_counts_as_so_many_equal_images() -> None:
    answers = drawn(20)
    weights = np.random.default_rng(1).integers(0, 4, 20)
    repeated = Predictions(np.repeat(answers.probabilities, weights, axis=0), np.repeat(answers.labels, weights))
    expected = figures(repeated, np.ones((1, weights.sum())), 5)
    found = figures(answers, weights[None].astype(float), 5)
    assert {name: value[0] for name, value in found.items()} == pytest.approx(
        {name: value[0] for name, value in expected.items()}
    )


def test_the_interval_of_a_mean_is_that_of_theory() -> None:
    answers = drawn(2000)
    low, high = intervals(answers, 10, confidence=0.95, resamples=4000, seed=3)["log_loss"]
    each = -np.log(answers.probabilities[np.arange(2000), answers.labels])
    half = 1.96 * each.std() / 2000**0.5
    assert (low, high) == pytest.approx((each.mean() - half, each.mean() + half), rel=0.01)


def test_a_wider_level_gives_a_wider_interval_around_the_figure() -> None:
    answers = drawn(classes=6, sure=0.1)
    narrow, wide = (intervals(answers, 10, level, 500, seed=0) for level in (0.8, 0.99))
    for name in FIGURES:
        assert wide[name][0] <= narrow[name][0] < narrow[name][1] <= wide[name][1]
        assert wide[name] != narrow[name]


def test_the_seed_decides_and_the_memory_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = drawn()
    once = intervals(answers, 10, 0.95, 300, seed=5)
    assert intervals(answers, 10, 0.95, 300, seed=6) != once
    monkeypatch.setattr(bootstrap, "_MOST_CELLS", 7 * 400)
    in_parts = intervals(answers, 10, 0.95, 300, seed=5)
    for name in FIGURES:
        assert in_parts[name] == pytest.approx(once[name], rel=1e-12)
