"""Bootstrap intervals against sklearn's figures and known distributions."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss, top_k_accuracy_score

from pipeline.evaluation import bootstrap
from pipeline.evaluation.bootstrap import intervals
from pipeline.evaluation.metrics import METRICS, Predictions, calibration, summary
from tests.pipeline.sections import evaluate_params

FIGURES = tuple(name for name, metric in METRICS.items() if not metric.is_share)


def drawn(n: int = 400, classes: int = 4, sure: float = 0.5) -> Predictions:
    numbers = np.random.default_rng(0)
    labels = numbers.integers(0, classes, n)
    probabilities = numbers.dirichlet(np.ones(classes), n) + sure * np.eye(classes)[labels]
    return Predictions(probabilities / probabilities.sum(axis=1, keepdims=True), labels)


def test_values_are_those_of_sklearn() -> None:
    answers = drawn()
    found = summary(answers, evaluate_params(calibration_bins=10, top_k=2))
    labels, predicted, probabilities = answers.labels, answers.predicted, answers.probabilities
    assert found["accuracy"] == np.mean(labels == predicted)
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert found["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert found["top_k_accuracy"] == pytest.approx(top_k_accuracy_score(labels, probabilities, k=2))
    assert found["log_loss"] == pytest.approx(log_loss(labels, probabilities))
    bins = calibration(answers, 10)
    assert found["expected_calibration_error"] == pytest.approx(
        sum(each.count / 400 * abs(each.accuracy - each.confidence) for each in bins)
    )


def test_the_interval_of_a_perfect_network_holds_its_figure_though_resamples_miss_classes() -> None:
    labels = np.repeat(np.arange(50), 2)
    answers = Predictions(np.eye(51)[labels], labels)  # of one class there is no image
    assert summary(answers, evaluate_params())["macro_f1"] == 1.0
    found = intervals(answers, evaluate_params(resamples=200), seed=0)
    for name in ("balanced_accuracy", "macro_f1"):
        assert found[name] == (1.0, 1.0)


def test_a_weight_counts_as_so_many_equal_images() -> None:
    answers = drawn(20)
    weights = np.random.default_rng(1).integers(0, 4, 20)
    repeated = Predictions(np.repeat(answers.probabilities, weights, axis=0), np.repeat(answers.labels, weights))
    params = evaluate_params(calibration_bins=5)
    expected = summary(repeated, params)
    for name, metric in METRICS.items():
        assert metric.compute(answers, weights[None].astype(float), params)[0] == pytest.approx(expected[name]), name


def test_the_interval_of_a_mean_is_that_of_theory() -> None:
    answers = drawn(2000)
    low, high = intervals(answers, evaluate_params(resamples=4000), seed=3)["log_loss"]
    each = -np.log(answers.probabilities[np.arange(2000), answers.labels])
    half = 1.96 * each.std() / 2000**0.5
    assert (low, high) == pytest.approx((each.mean() - half, each.mean() + half), rel=0.01)


def test_a_wider_level_gives_a_wider_interval_around_the_figure() -> None:
    answers = drawn(classes=6, sure=0.1)
    narrow, wide = (
        intervals(answers, evaluate_params(confidence_level=level, resamples=500), seed=0) for level in (0.8, 0.99)
    )
    for name in FIGURES:
        assert wide[name][0] <= narrow[name][0] < narrow[name][1] <= wide[name][1]
        assert wide[name] != narrow[name]


def test_the_seed_decides_and_the_memory_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = drawn()
    once = intervals(answers, evaluate_params(resamples=300), seed=5)
    assert intervals(answers, evaluate_params(resamples=300), seed=6) != once
    monkeypatch.setattr(bootstrap, "_MOST_CELLS", 7 * 400)
    in_parts = intervals(answers, evaluate_params(resamples=300), seed=5)
    for name in FIGURES:
        assert in_parts[name] == pytest.approx(once[name], rel=1e-12)
