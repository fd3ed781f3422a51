import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from pipeline.trainers.epoch_metrics import EvaluationMetrics, make_metrics


def compute_metrics(labels: np.ndarray, predicted: np.ndarray, classes: int) -> EvaluationMetrics:
    hits = np.bincount(predicted[predicted == labels], minlength=classes)
    return make_metrics(3.0, hits, np.bincount(predicted, minlength=classes), labels)


@pytest.mark.parametrize("seed", range(20))
def test_metrics_equal_those_of_scikit_learn_even_if_classes_are_missing(seed: int) -> None:
    draw = np.random.default_rng(seed)
    n = int(draw.integers(1, 40))
    labels, predicted = draw.choice(draw.choice(10, 4), n), draw.choice(draw.choice(10, 5), n)
    metrics = compute_metrics(labels, predicted, classes=10)
    assert metrics.macro_f1 == pytest.approx(f1_score(labels, predicted, average="macro", zero_division=0))
    assert metrics.accuracy == pytest.approx(accuracy_score(labels, predicted))
    assert metrics.loss == pytest.approx(3.0 / n)


def test_a_class_that_is_never_predicted_has_an_f1_of_zero() -> None:
    labels = np.array([0, 0, 0, 1])
    assert compute_metrics(labels, np.zeros(4, int), classes=3).macro_f1 == pytest.approx((6 / 7 + 0) / 2)
