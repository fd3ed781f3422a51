"""Paired comparisons against cases worked out by hand."""

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
    found = compare(*pair(80, 10, 2, 8), confidence=0.95)
    assert found.p_value == pytest.approx(2 * sum(comb(12, k) for k in range(3)) / 2**12)
    assert (found.only_first, found.only_second) == (10, 2)
    assert found.difference == pytest.approx(0.08)
    assert found.low < 0.08 < found.high


def test_the_other_way_round_is_the_opposite() -> None:
    first, second = pair(50, 9, 3, 10)
    one, other = compare(first, second, 0.9), compare(second, first, 0.9)
    assert (one.difference, one.low, one.high) == pytest.approx((-other.difference, -other.high, -other.low))
    assert one.p_value == other.p_value


def test_networks_that_never_differ_have_no_difference_but_an_interval() -> None:
    found = compare(*pair(95, 0, 0, 5), confidence=0.95)
    assert (found.difference, found.p_value) == (0.0, 1.0)
    assert -0.05 < found.low < 0 < found.high < 0.05


def test_the_interval_holds_the_true_difference_as_often_as_it_says() -> None:
    numbers, held = np.random.default_rng(0), 0
    for _ in range(400):
        cases = numbers.choice(4, 150, p=[0.8, 0.1, 0.05, 0.05])
        found = compare(np.isin(cases, (0, 1)), np.isin(cases, (0, 2)), confidence=0.9)
        held += found.low <= 0.05 <= found.high
    assert 0.86 <= held / 400 <= 0.95


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
            "The network has the same accuracy as the champion; each of the two classifies 3 images correctly that the "
            "other misclassifies.",
        ),
        ((80, 0, 0, 20), "The network is right and wrong on exactly the same images as the champion."),
    ],
)
def test_it_is_told_in_a_sentence(counts: tuple[int, int, int, int], message: str) -> None:
    assert in_words(compare(*pair(*counts), confidence=0.95), "champion", 0.05) == message
