"""Evaluation metrics, checked against hand-computed cases and other libraries."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from pipeline.evaluation.metrics import (
    METRICS,
    Predictions,
    calibration,
    per_class,
    share_intervals,
    summary,
    wilson_interval,
)
from pipeline.sections.gate_rules import QUALITY
from tests.pipeline.param_sections import evaluate_params


def predictions(*rows: tuple[list[float], int]) -> Predictions:
    return Predictions(np.array([row for row, _ in rows]), np.array([label for _, label in rows]))


FOUR = predictions(([0.9, 0.1, 0.0], 0), ([0.6, 0.3, 0.1], 1), ([0.2, 0.7, 0.1], 1), ([0.3, 0.3, 0.4], 0))


@given(st.data(), st.integers(1, 500), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_the_interval_equals_the_wilson_interval_of_scipy(data: st.DataObject, n: int, confidence: float) -> None:
    hits = data.draw(st.integers(0, n))
    expected = binomtest(hits, n).proportion_ci(confidence, method="wilson")
    assert wilson_interval(hits, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_the_interval_stays_within_bounds_and_is_never_a_point() -> None:
    low, high = wilson_interval(20, 20, 0.95)
    assert 0.8 < low < high == 1.0
    assert wilson_interval(360, 360, 0.95)[1] == 1.0
    assert wilson_interval(0, 360, 0.95)[0] == 0.0


def test_metrics_of_a_hand_computed_case() -> None:
    figures = summary(FOUR, evaluate_params(calibration_bins=10))
    assert figures["images"] == 4
    assert figures["accuracy"] == 0.5
    assert figures["log_loss"] == pytest.approx(-(math.log(0.9) + math.log(0.3) + math.log(0.7) + math.log(0.3)) / 4)
    assert figures["brier_score"] == pytest.approx((0.02 + 0.86 + 0.14 + 0.74) / 4)
    assert figures["balanced_accuracy"] == pytest.approx(0.5)  # class 2 has no image: recall 1/2 and 1/2
    assert figures["macro_f1"] == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
    assert figures["expected_calibration_error"] == pytest.approx((0.1 + 0.6 + 0.3 + 0.4) / 4)


def test_each_class_has_precision_recall_f1_and_support() -> None:
    one, two, three = per_class(FOUR, ("a", "b", "c"))
    assert one == {"class": "a", "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    assert two == {"class": "b", "precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 2}
    assert three == {"class": "c", "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}


def test_a_calibrated_network_has_no_calibration_error() -> None:
    calibrated = predictions(*[([0.75, 0.25], 0)] * 3, ([0.75, 0.25], 1))
    assert [(entry.confidence, entry.accuracy, entry.count) for entry in calibration(calibrated, 4)] == [
        (0.75, 0.75, 4)
    ]
    assert summary(calibrated, evaluate_params(calibration_bins=4))["expected_calibration_error"] == 0.0


def test_full_confidence_falls_into_the_last_bin() -> None:
    (last,) = calibration(predictions(([1.0, 0.0], 0), ([1.0, 0.0], 1)), 15)
    assert (last.confidence, last.accuracy, last.count) == (1.0, 0.5, 2)


def test_the_log_loss_is_finite_for_a_probability_of_zero() -> None:
    wrong = predictions(([1.0, 0.0], 1), ([0.0, 1.0], 1))
    assert math.isfinite(summary(wrong, evaluate_params())["log_loss"])


def test_proportions_of_images_have_wilson_intervals() -> None:
    assert share_intervals(FOUR, evaluate_params(confidence_level=0.9, top_k=2)) == {
        "accuracy": wilson_interval(2, 4, 0.9),
        "top_k_accuracy": wilson_interval(4, 4, 0.9),
    }


def test_the_gate_knows_every_metric() -> None:
    assert tuple(METRICS) == QUALITY
