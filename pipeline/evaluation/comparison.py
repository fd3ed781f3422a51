"""Compare two networks on the same images."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Comparison:
    """Comparison of two networks, image by image.

    Attributes:
        difference: Difference in accuracy; above 0 if the first network is better.
        low: Lower bound of the difference.
        high: Upper bound of the difference.
        p_value: Probability of a difference of at least this size between networks that are equally good.
        only_first: Number of images that only the first network classifies correctly.
        only_second: Number of images that only the second network classifies correctly.
    """

    difference: float
    low: float
    high: float
    p_value: float
    only_first: int
    only_second: int


def compare(first: NDArray[np.bool_], second: NDArray[np.bool_], confidence: float) -> Comparison:
    """Compare the accuracy of two networks on the same images.

    The p-value is that of McNemar's test (1947), "Note on the sampling error of the difference between correlated
    proportions or percentages", in its exact form. The interval is that of Agresti and Min (2005), "Simple improved
    confidence intervals for comparing matched proportions", clipped to -1 to 1. Its width stays above 0 if the networks
    never differ.

    Args:
        first: (n,) whether the first network is correct.
        second: (n,) whether the second network is correct.
        confidence: Level of the interval, such as 0.95.
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
