"""Compare metrics with scikit-learn and bootstrap intervals with theory."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss, top_k_accuracy_score

from pipeline.evaluation import bootstrap
from pipeline.evaluation.bootstrap import intervals
from pipeline.evaluation.metrics import METRICS, Predictions, calibration, summary
from tests.pipeline.param_sections import evaluate_params

BOOTSTRAPPED = tuple(name for name, metric in METRICS.items() if not metric.is_share)


def random_predictions(n: int = 400, classes: int = 4, certainty: float = 0.5) -> Predictions:
    numbers = np.random.default_rng(0)
    labels = numbers.integers(0, classes, n)
    probabilities = numbers.dirichlet(np.ones(classes), n) + certainty * np.eye(classes)[labels]
    return Predictions(probabilities / probabilities.sum(axis=1, keepdims=True), labels)


def test_metrics_equal_those_of_scikit_learn() -> None:
    predictions = random_predictions()
    metrics = summary(predictions, evaluate_params(calibration_bins=10, top_k=2))
    labels, predicted, probabilities = predictions.labels, predictions.predicted, predictions.probabilities
    assert metrics["accuracy"] == np.mean(labels == predicted)
    assert metrics["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert metrics["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert metrics["top_k_accuracy"] == pytest.approx(top_k_accuracy_score(labels, probabilities, k=2))
    assert metrics["log_loss"] == pytest.approx(log_loss(labels, probabilities))
    bins = calibration(predictions, 10)
    assert metrics["expected_calibration_error"] == pytest.approx(
        sum(each.count / 400 * abs(each.accuracy - each.confidence) for each in bins)
    )


def test_the_interval_of_a_perfect_network_is_exact_even_if_resamples_miss_classes() -> None:
    labels = np.repeat(np.arange(50), 2)
    predictions = Predictions(np.eye(51)[labels], labels)  # one class has no images
    assert summary(predictions, evaluate_params())["macro_f1"] == 1.0
    bounds = intervals(predictions, evaluate_params(resamples=200), seed=0)
    for name in ("balanced_accuracy", "macro_f1"):
        assert bounds[name] == (1.0, 1.0)


def test_a_weight_counts_as_repetitions_of_an_image() -> None:
    predictions = random_predictions(20)
    weights = np.random.default_rng(1).integers(0, 4, 20)
    repeated = Predictions(
        np.repeat(predictions.probabilities, weights, axis=0), np.repeat(predictions.labels, weights)
    )
    params = evaluate_params(calibration_bins=5)
    expected = summary(repeated, params)
    for name, metric in METRICS.items():
        (value,) = metric.compute(predictions, weights[None].astype(float), params)
        assert value == pytest.approx(expected[name]), name


def test_the_interval_of_a_mean_agrees_with_theory() -> None:
    predictions = random_predictions(2000)
    low, high = intervals(predictions, evaluate_params(resamples=4000), seed=3)["log_loss"]
    each = -np.log(predictions.probabilities[np.arange(2000), predictions.labels])
    half = 1.96 * each.std() / 2000**0.5
    assert (low, high) == pytest.approx((each.mean() - half, each.mean() + half), rel=0.01)


def test_a_higher_confidence_level_results_in_a_wider_interval() -> None:
    predictions = random_predictions(classes=6, certainty=0.1)
    narrow, wide = (
        intervals(predictions, evaluate_params(confidence_level=level, resamples=500), seed=0) for level in (0.8, 0.99)
    )
    for name in BOOTSTRAPPED:
        assert wide[name][0] <= narrow[name][0] < narrow[name][1] <= wide[name][1]
        assert wide[name] != narrow[name]


def test_intervals_depend_on_the_seed_but_not_on_the_memory_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    predictions = random_predictions()
    expected = intervals(predictions, evaluate_params(resamples=300), seed=5)
    assert intervals(predictions, evaluate_params(resamples=300), seed=6) != expected
    monkeypatch.setattr(bootstrap, "_MAX_CELLS", 7 * 400)
    chunked = intervals(predictions, evaluate_params(resamples=300), seed=5)
    for name in BOOTSTRAPPED:
        assert chunked[name] == pytest.approx(expected[name], rel=1e-12)
