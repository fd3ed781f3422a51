"""Statistics of a split, computed while its samples pass by in blocks."""

import hashlib
from collections.abc import Mapping
from itertools import combinations
from math import inf, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

HASH = 16  # bytes of a hash
_IN_CACHE = 2**14  # values of each channel that are converted at once


class SplitStatistics:
    """Statistics of all samples that `update` has seen.

    Attributes:
        count: Number of samples.
        least: Smallest value.
        greatest: Largest value.
        whole: Whether all values are whole numbers.
        not_finite: Indices of the samples that contain NaN or infinity.
        hashes: A hash of each sample, HASH bytes each; equal samples have equal hashes.
    """

    def __init__(self) -> None:
        """Start without samples."""
        self.count = 0
        self.least, self.greatest = inf, -inf
        self.whole = True
        self.not_finite: list[int] = []
        self.hashes = bytearray()
        self._moments: _ByteMoments | _Moments | None = None

    def update(self, samples: NDArray[Any]) -> None:
        """Add samples.

        Args:
            samples: (n, *grid, channels) values, uint8 or float32, contiguous.
        """
        if samples.dtype.kind == "f" and not np.isfinite(samples).all():
            bad = ~np.isfinite(samples).all(axis=tuple(range(1, samples.ndim)))
            self.not_finite += (np.flatnonzero(bad) + self.count).tolist()
        else:
            self.least = min(self.least, float(samples.min()))
            self.greatest = max(self.greatest, float(samples.max()))
            self.whole = self.whole and (samples.dtype.kind != "f" or bool((samples == np.rint(samples)).all()))
            if self._moments is None:
                self._moments = (_ByteMoments if samples.dtype == np.uint8 else _Moments)(samples.shape[-1])
            self._moments.update(samples)
        self.hashes += b"".join(hashlib.blake2b(sample.data, digest_size=HASH).digest() for sample in samples)
        self.count += len(samples)

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel."""
        return self._moments.mean() if self._moments is not None else ()

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel."""
        return self._moments.std() if self._moments is not None else ()


class _ByteMoments:
    """Exact moments of bytes: sums of whole numbers below 2^53 are exact in float64, in any order."""

    def __init__(self, channels: int) -> None:
        self._number = 0
        self._sums, self._squares = [0] * channels, [0] * channels

    def update(self, samples: NDArray[np.uint8]) -> None:
        values = samples.reshape(-1, samples.shape[-1])
        self._number += len(values)
        for start in range(0, len(values), _IN_CACHE):
            part = values[start : start + _IN_CACHE].T.astype(np.float64, order="C")  # (channels, values)
            sums = part.sum(axis=1)
            squares = np.multiply(part, part, out=part).sum(axis=1)
            for channel, (total, of_squares) in enumerate(zip(sums.tolist(), squares.tolist(), strict=True)):
                self._sums[channel] += int(total)
                self._squares[channel] += int(of_squares)

    def mean(self) -> tuple[float, ...]:
        return tuple(total / self._number for total in self._sums)

    def std(self) -> tuple[float, ...]:
        return tuple(
            sqrt(self._number * squares - total**2) / self._number
            for total, squares in zip(self._sums, self._squares, strict=True)
        )


class _Moments:
    """Moments of floats, merged block by block (Chan, Golub and LeVeque 1983, equations 2.1)."""

    def __init__(self, channels: int) -> None:
        self._number = 0
        self._mean = self._squares = np.zeros(channels)

    def update(self, samples: NDArray[Any]) -> None:
        values = samples.reshape(-1, samples.shape[-1])
        mean = values.mean(axis=0, dtype=np.float64)
        squares = values.var(axis=0, dtype=np.float64) * len(values)
        number = self._number + len(values)
        shift = mean - self._mean
        self._squares = self._squares + squares + shift**2 * (self._number * len(values) / number)
        self._mean = self._mean + shift * (len(values) / number)
        self._number = number

    def mean(self) -> tuple[float, ...]:
        return tuple(self._mean.tolist())

    def std(self) -> tuple[float, ...]:
        return tuple(np.sqrt(self._squares / max(1, self._number)).tolist())


def count_duplicates(splits: Mapping[str, SplitStatistics]) -> dict[str, int]:
    """For each pair of splits, count the samples of the second one that are also in the first one, value for value."""
    hashes = {name: np.frombuffer(split.hashes, f"S{HASH}") for name, split in splits.items()}
    return {f"{one} and {two}": int(np.isin(hashes[two], hashes[one]).sum()) for one, two in combinations(hashes, 2)}
