"""Paired comparisons, checked against hand-computed cases."""

from math import comb

import numpy as np
import pytest

from pipeline.evaluation.comparison import compare
from pipeline.report.comparison import in_words


def pair(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    cases = np.repeat(
        [[True, True], [True, False], [False, True], [False, False]], [both, first, second, neither], axis=0
    )
    return cases[:, 0], cases[:, 1]


def test_the_p_value_is_that_of_the_exact_test() -> None:
    comparison = compare(*pair(80, 10, 2, 8), confidence=0.95)
    assert comparison.p_value == pytest.approx(2 * sum(comb(12, k) for k in range(3)) / 2**12)
    assert (comparison.only_first, comparison.only_second) == (10, 2)
    assert comparison.difference == pytest.approx(0.08)
    assert comparison.low < 0.08 < comparison.high


def test_swapping_the_networks_negates_the_difference() -> None:
    first, second = pair(50, 9, 3, 10)
    one, other = compare(first, second, 0.9), compare(second, first, 0.9)
    assert (one.difference, one.low, one.high) == pytest.approx((-other.difference, -other.high, -other.low))
    assert one.p_value == other.p_value


def test_networks_that_never_disagree_have_zero_difference_and_an_interval() -> None:
    comparison = compare(*pair(95, 0, 0, 5), confidence=0.95)
    assert (comparison.difference, comparison.p_value) == (0.0, 1.0)
    assert -0.05 < comparison.low < 0 < comparison.high < 0.05


def test_the_interval_covers_the_true_difference_at_its_confidence_level() -> None:
    numbers, covered = np.random.default_rng(0), 0
    for _ in range(400):
        cases = numbers.choice(4, 150, p=[0.8, 0.1, 0.05, 0.05])
        comparison = compare(np.isin(cases, (0, 1)), np.isin(cases, (0, 2)), confidence=0.9)
        covered += comparison.low <= 0.05 <= comparison.high
    assert 0.86 <= covered / 400 <= 0.95


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((80, 10, 2, 8), "The network's accuracy is 0.0800 higher than that of the champion (p = 0.0386)."),
        (
            (80, 2, 4, 14),
            "The network's accuracy is 0.0200 lower than that of the champion (p = 0.688, not significant).",
        ),
        (
            (80, 3, 3, 14),
            "The network has the same accuracy as the champion; each correctly classifies 3 images that the other "
            "misclassifies.",
        ),
        ((80, 0, 0, 20), "The network and the champion classify exactly the same images correctly."),
    ],
)
def test_a_comparison_is_summarized_in_a_sentence(counts: tuple[int, int, int, int], message: str) -> None:
    assert in_words(compare(*pair(*counts), confidence=0.95), "champion", 0.05) == message
