"""Compare samples with the training split, and the splits with each other, by the samples' statistics."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.checks.statistics import STATISTICS
from pipeline.data.split import SplitName

MIN_Z = 6.0
_MIN_REFERENCE = 20  # training samples
_OUTLIER_UNIT, _DRIFT_UNIT = 0.01, 0.001  # of the typical contrast; smaller differences do not matter
_NORMAL_QUARTILE = 0.6745  # of the standard normal distribution
SIGNIFICANCE = 0.01  # after Holm's correction for the number of tests
MIN_DISTANCE = 0.05  # a smaller difference has little effect, however significant it is


@dataclass(frozen=True)
class Outlier:
    """A sample with an unusual statistic.

    Attributes:
        index: Index of the sample.
        statistic: The statistic that is farthest from the median of the training split.
        value: Its value.
        z: Robust z-score: distance from the median in robust standard deviations, with sign.
    """

    index: int
    statistic: str
    value: float
    z: float


@dataclass(frozen=True)
class DriftTest:
    """Comparison of a split with the training split.

    Attributes:
        split: The split.
        what: A statistic, or `classes`.
        distance: Greatest difference of the cumulative distributions (Kolmogorov-Smirnov), or half the sum of the
            absolute differences of the classes' shares (total variation); from 0 to 1.
        p_value: Probability of such a distance if both splits are drawn from the same distribution, after Holm's
            correction for the number of tests.
    """

    split: SplitName
    what: str
    distance: float
    p_value: float

    @property
    def found(self) -> bool:
        """Whether the difference is both significant and large enough to matter."""
        return self.p_value < SIGNIFICANCE and self.distance >= MIN_DISTANCE


def find_outliers(train: NDArray[np.float32], samples: NDArray[np.float32], usable: NDArray[np.bool_]) -> list[Outlier]:
    """Find samples of which a statistic is far from the median of the training split.

    The scale is that of the quartile on the same side of the median, so that skewed statistics have no more outliers
    than symmetric ones.

    Args:
        train: (n, 3) statistics of the training split.
        samples: (m, 3) statistics of all samples.
        usable: (m,) False for samples that another check reports, such as constant ones.

    Returns:
        The outliers, the most unusual first.
    """
    if len(train) < _MIN_REFERENCE:
        return []
    low, middle, high = np.quantile(train.astype(np.float64), (0.25, 0.5, 0.75), axis=0)
    offset = samples - middle
    scale = np.where(offset < 0, middle - low, high - middle) / _NORMAL_QUARTILE
    least = np.maximum((high - low) / (4 * _NORMAL_QUARTILE), _OUTLIER_UNIT * _typical(train))
    scores = offset / np.maximum(scale, least)
    worst = np.abs(scores).argmax(axis=1)
    value = scores[np.arange(len(scores)), worst]
    found = np.flatnonzero((np.abs(value) >= MIN_Z) & usable)
    return [
        Outlier(int(index), STATISTICS[worst[index]], float(samples[index, worst[index]]), float(value[index]))
        for index in found[np.argsort(-np.abs(value[found]), kind="stable")]
    ]


def compare_splits(
    statistics: Mapping[SplitName, NDArray[np.float32]],
    labels: Mapping[SplitName, NDArray[np.int64]],
    classes: int,
) -> list[DriftTest]:
    """Compare the validation and the test split with the training split.

    Args:
        statistics: (n, 3) statistics of each split.
        labels: (n,) class indices of each split.
        classes: Number of classes.

    Returns:
        For each split, a test per statistic and one of the classes' shares.
    """
    from scipy.stats import chi2_contingency, ks_2samp

    unit = _DRIFT_UNIT * _typical(statistics["train"])
    rounded = {split: np.rint(values / unit) for split, values in statistics.items()}
    tests: list[tuple[SplitName, str, float, float]] = []
    train_counts = np.bincount(labels["train"], minlength=classes)
    others: tuple[Literal["val", "test"], ...] = ("val", "test")
    for split in others:
        if split not in statistics:
            continue
        for column, name in enumerate(STATISTICS):
            found = ks_2samp(rounded["train"][:, column], rounded[split][:, column], method="asymp")
            tests.append((split, name, float(found.statistic), float(found.pvalue)))
        table = np.stack([train_counts, np.bincount(labels[split], minlength=classes)])
        table = table[:, table.sum(axis=0) > 0]
        shares = table / table.sum(axis=1, keepdims=True)
        p_value = float(chi2_contingency(table).pvalue) if table.shape[1] > 1 else 1.0
        tests.append((split, "classes", float(np.abs(shares[0] - shares[1]).sum() / 2), p_value))
    corrected = _holm([p_value for *_, p_value in tests])
    return [
        DriftTest(split, what, distance, p_value)
        for (split, what, distance, _), p_value in zip(tests, corrected, strict=True)
    ]


def _typical(train: NDArray[np.float32]) -> NDArray[np.float64]:
    """What differences of each statistic are compared with: the median contrast; 1 for the roughness, a ratio."""
    contrast = max(float(np.median(train[:, STATISTICS.index("contrast")])), 1e-12)
    return np.array([1.0 if name == "roughness" else contrast for name in STATISTICS])


def _holm(p_values: list[float]) -> list[float]:
    """Correct p-values for multiple tests (Holm 1979)."""
    corrected, greatest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        greatest = max(greatest, min(1.0, p_values[place] * (len(p_values) - rank)))
        corrected[place] = greatest
    return corrected
