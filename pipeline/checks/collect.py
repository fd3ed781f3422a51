"""Collect what the checks need while the samples of a dataset pass by, in blocks."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.checks.grid import NeighbourCorrelation, NeighbourSampler
from pipeline.checks.statistics import STATISTICS, constant, statistics
from pipeline.checks.thumbnails import descriptors, thumbnails
from pipeline.data.split import SplitName

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
_STEP, _STEP_BYTES = 512, 1024**2  # samples that are converted at a time, and their size: they fit in the cache


@dataclass(frozen=True)
class SampleFacts:
    """What is kept of each sample of a split: some 170 bytes.

    Attributes:
        labels: (n,) class indices.
        digests: (n, 2) digests of the values, 128 bits each.
        statistics: (n, 3) see `STATISTICS`.
        descriptors: (n, values) of the coarse content.
        constant: (n,) whether all values are equal.
    """

    labels: NDArray[np.int64]
    digests: NDArray[np.uint64]
    statistics: NDArray[np.float32]
    descriptors: NDArray[np.int16]
    constant: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Collected:
    """What was collected of a dataset.

    Attributes:
        splits: What is kept of each sample, by split.
        neighbours: Correlation of neighbouring values in the training split; None if it cannot be measured.
        class_means: Mean of the training samples' thumbnails, by class index.
    """

    splits: Mapping[SplitName, SampleFacts]
    neighbours: NeighbourCorrelation | None
    class_means: Mapping[int, NDArray[np.float32]]


@dataclass
class Collector:
    """Takes the samples in blocks; what it returns does not depend on the size of the blocks.

    The memory is proportional to the number of samples and of classes, not to the size of a sample.

    Args:
        shape: Grid and channels of a sample.
    """

    shape: tuple[int, ...]
    _facts: dict[SplitName, list[SampleFacts]] = field(default_factory=dict)
    _sums: dict[int, tuple[NDArray[np.float64], int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._neighbours = NeighbourSampler(self.shape)

    def add(
        self, split: SplitName, samples: NDArray[np.generic], labels: NDArray[np.int64], digests: bytes | bytearray
    ) -> None:
        """Add a block of a split; the blocks of a split come in its order.

        Args:
            split: The split.
            samples: (n, *grid, channels) raw values.
            labels: (n,) class indices.
            digests: Digest of each sample's values, 16 bytes each.
        """
        keys = np.frombuffer(digests, "<u8").reshape(-1, 2).astype(np.uint64)
        step = max(1, min(_STEP, _STEP_BYTES // max(1, samples[:1].nbytes)))
        steps = [slice(start, start + step) for start in range(0, len(samples), step)]
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
            measured = threads.map(lambda each: _measured(samples[each], labels[each], keys[each]), steps)
            for each, (facts, small) in zip(steps, measured, strict=True):
                self._facts.setdefault(split, []).append(facts)
                if split == "train":
                    self._neighbours.add(_finite(samples[each]), keys[each, 0])
                    self._add_means(small, labels[each])

    def _add_means(self, small: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        for label in np.unique(labels).tolist():
            chosen = small[labels == label]
            total, count = self._sums.get(label, (np.zeros(small.shape[1:]), 0))
            self._sums[label] = total + chosen.sum(axis=0, dtype=np.float64), count + len(chosen)

    def result(self) -> Collected:
        """Return what was collected, once; at least one sample must have been added."""
        return Collected(
            {split: _joined(self._facts.pop(split)) for split in SPLITS if split in self._facts},
            self._neighbours.result(),
            {label: (total / count).astype(np.float32) for label, (total, count) in sorted(self._sums.items())},
        )


def _measured(
    samples: NDArray[np.generic], labels: NDArray[np.int64], digests: NDArray[np.uint64]
) -> tuple[SampleFacts, NDArray[np.float32]]:
    """What is kept of samples, and their thumbnails."""
    samples = _finite(samples)
    with np.errstate(over="ignore", invalid="ignore"):
        small = thumbnails(samples)
        found = SampleFacts(labels, digests, statistics(samples, small), descriptors(small), constant(samples))
    return found, small


def _finite(samples: NDArray[np.generic]) -> NDArray[np.generic]:
    """Contiguous samples with 0 for NaN and infinity, which another check rejects."""
    if samples.dtype.kind == "f" and not np.isfinite(samples).all():
        samples = np.where(np.isfinite(samples), samples, samples.dtype.type(0))
    return np.ascontiguousarray(samples)


def _joined(facts: list[SampleFacts]) -> SampleFacts:
    return SampleFacts(
        np.concatenate([each.labels for each in facts]),
        np.concatenate([each.digests for each in facts]),
        np.concatenate([each.statistics for each in facts]).reshape(-1, len(STATISTICS)),
        np.concatenate([each.descriptors for each in facts]),
        np.concatenate([each.constant for each in facts]),
    )
