"""Measure whether neighbouring values of the samples are related: the columns of a table are not."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SAMPLES = 2048  # whose values are kept
MIN_SAMPLES = 20
_PAIRS = 400  # of positions, for each axis and for the control
_MIN_GAIN = 0.05
_MIN_ERRORS = 3.0  # standard errors
_ENOUGH = 1e-12  # variance of a position
_NEARLY_ONE = 1 - 1e-9  # largest correlation whose z is computed


@dataclass(frozen=True)
class NeighbourCorrelation:
    """How strongly values at two positions are correlated over the training samples.

    Attributes:
        neighbours: Mean absolute correlation of neighbours, for each axis; nan for an axis that is too short.
        gains: Difference of the neighbours' mean to that of random pairs in Fisher's z, atanh of the correlation, which
            also distinguishes correlations near 1; for each axis.
        errors: Standard error of each gain.
        random: Mean absolute correlation of random pairs of positions that are not neighbours.
        samples: Number of samples measured.
    """

    neighbours: tuple[float, ...]
    gains: tuple[float, ...]
    errors: tuple[float, ...]
    random: float
    samples: int

    @property
    def related(self) -> tuple[bool, ...]:
        """Whether neighbours along each axis are more strongly correlated than random pairs."""
        return tuple(
            gain > max(_MIN_GAIN, _MIN_ERRORS * error) for gain, error in zip(self.gains, self.errors, strict=True)
        )

    @property
    def is_grid(self) -> bool:
        """Whether at least one axis is an order, and not a mere list of columns."""
        return any(self.related)


class NeighbourSampler:
    """Keeps the values of at most 2,048 training samples at pairs of positions.

    The samples with the smallest digests are kept, so that the result does not depend on the order or the size of the
    blocks.

    Args:
        shape: Grid and channels of a sample.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._pairs = _position_pairs(shape)
        self._positions = np.concatenate([pairs.reshape(-1) for pairs in self._pairs])
        self._kept: list[tuple[NDArray[np.uint64], NDArray[np.float32]]] = []
        self._limit = np.uint64(2**64 - 1)

    def add(self, samples: NDArray[np.generic], keys: NDArray[np.uint64]) -> None:
        """Add a block of training samples.

        Args:
            samples: (n, *grid, channels) raw values.
            keys: (n,) digests of the samples.
        """
        chosen = np.flatnonzero(keys <= self._limit)
        values = samples.reshape(len(samples), -1)[chosen[:, None], self._positions].astype(np.float32)
        self._kept.append((keys[chosen], values))
        if sum(len(block) for block, _ in self._kept) >= 2 * _SAMPLES:
            self._keep_smallest()

    def _keep_smallest(self) -> None:
        keys = np.concatenate([block for block, _ in self._kept])
        order = np.argsort(keys, kind="stable")[:_SAMPLES]
        self._kept = [(keys[order], np.concatenate([values for _, values in self._kept])[order])]
        if len(order) == _SAMPLES:
            self._limit = self._kept[0][0][-1]

    def result(self) -> NeighbourCorrelation | None:
        """The correlations; None if there are too few samples or positions to measure them."""
        if not self._kept or not self._pairs[-1].size:
            return None
        self._keep_smallest()
        _, values = self._kept[0]
        if len(values) < MIN_SAMPLES:
            return None
        means, levels, variances, start = [], [], [], 0
        for pairs in self._pairs:
            end = start + pairs.size
            one, two = values[:, start:end].reshape(len(values), 2, -1).swapaxes(0, 1).astype(np.float64)
            start = end
            found = np.abs(_correlations(one, two))
            fisher = np.arctanh(np.minimum(found, _NEARLY_ONE))
            means.append(float(found.mean()) if found.size else float("nan"))
            levels.append(float(fisher.mean()) if found.size else float("nan"))
            variances.append(float(fisher.var() / found.size) if found.size else float("nan"))
        *neighbours, random = means
        if not np.isfinite(random) or not np.isfinite(neighbours).any():
            return None
        gains = tuple(level - levels[-1] for level in levels[:-1])
        errors = tuple(float(np.sqrt(variance + variances[-1])) for variance in variances[:-1])
        return NeighbourCorrelation(tuple(neighbours), gains, errors, random, len(values))


def _position_pairs(shape: tuple[int, ...]) -> list[NDArray[np.int64]]:
    """Flat indices (2, pairs) of neighbours along each axis, and of random positions that are not neighbours."""
    generator = np.random.default_rng(0)
    *grid, channels = shape
    listed = []
    for axis, extent in enumerate(grid):
        inner = [each - (place == axis) for place, each in enumerate(grid)]
        count = int(np.prod(inner)) * channels if extent > 1 else 0
        chosen = generator.permutation(count)[:_PAIRS] if count < 100 * _PAIRS else generator.integers(0, count, _PAIRS)
        before = np.stack(np.unravel_index(np.sort(chosen), (*inner, channels))) if count else _none(shape)
        after = before.copy()
        after[axis] += 1
        listed.append(np.stack([np.ravel_multi_index(tuple(each), shape) for each in (before, after)]))
    one, two = (np.stack([generator.integers(0, extent, 4 * _PAIRS) for extent in shape]) for _ in range(2))
    two[-1] = one[-1]
    apart = (np.abs(one[:-1] - two[:-1]) > 1).any(axis=0)
    listed.append(np.stack([np.ravel_multi_index(tuple(each[:, apart][:, :_PAIRS]), shape) for each in (one, two)]))
    return listed


def _none(shape: tuple[int, ...]) -> NDArray[np.int64]:
    return np.empty((len(shape), 0), np.int64)


def _correlations(one: NDArray[np.float64], two: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation of each pair of columns (n, pairs), without pairs of which one column is constant."""
    one, two = one - one.mean(axis=0), two - two.mean(axis=0)
    spread_one, spread_two = np.square(one).mean(axis=0), np.square(two).mean(axis=0)
    used = (spread_one > _ENOUGH) & (spread_two > _ENOUGH)
    return np.asarray((one * two).mean(axis=0)[used] / np.sqrt(spread_one[used] * spread_two[used]))
