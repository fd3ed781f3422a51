"""Two networks on the same images."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Comparison:
    """One network against another one, image by image.

    Attributes:
        difference: in accuracy; above 0 the first is better.
        low: lower bound of the difference.
        high: upper bound of the difference.
        p_value: how likely a difference of at least this size is between networks that are equally good.
        only_first: images that only the first network gets right.
        only_second: images that only the second one gets right.
    """

    difference: float
    low: float
    high: float
    p_value: float
    only_first: int
    only_second: int


def compare(first: NDArray[np.bool_], second: NDArray[np.bool_], confidence: float) -> Comparison:
    """Compare what two networks got right.

    The p-value is of McNemar's test (1947), "Note on the sampling error of the difference between correlated
    proportions or percentages", in its exact form. The interval is that of Agresti and Min (2005), "Simple improved
    confidence intervals for comparing matched proportions", within -1 to 1: it does not shrink to a point where the
    networks never differ.

    Args:
        first: (n,), whether the first network is right.
        second: (n,), whether the second one is.
        confidence: level of the interval, such as 0.95.
    """
    from scipy.stats import binomtest

    n, only_first, only_second = len(first), int((first & ~second).sum()), int((second & ~first).sum())
    either = only_first + only_second
    p_value = float(binomtest(only_first, either).pvalue) if either else 1.0
    images, more, less = n + 2, only_first + 0.5, only_second + 0.5
    centre = (more - less) / images
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * (more + less - (more - less) ** 2 / images) ** 0.5 / images
    return Comparison(
        difference=(only_first - only_second) / n,
        low=max(-1.0, centre - half),
        high=min(1.0, centre + half),
        p_value=p_value,
        only_first=only_first,
        only_second=only_second,
    )
