"""Measure what the findings are about: duplicates, leaks, outliers and drift of a dataset."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.checks.collect import Collected
from pipeline.checks.distribution import DriftTest, Outlier, compare_splits, find_outliers
from pipeline.checks.duplicates import identical_groups
from pipeline.checks.files import FileSummary
from pipeline.checks.near_duplicates import MAX_CONFIRMED, candidate_pairs, confirm, neighbour_similarity
from pipeline.data.split import SplitName

Read = Callable[[SplitName, NDArray[np.int64]], NDArray[np.generic]]


@dataclass(frozen=True)
class DatasetFacts:
    """What the source states about the samples, and how they were split.

    Attributes:
        classes: Names of the classes.
        names: Name of each sample by split; empty if unknown.
        groups: Group of each sample by split; splits without groups are left out.
        files: Summary of the files of the source; None if it is not a set of files.
        weights: (n,) weights of the training samples in the loss; None: all of them count the same.
    """

    classes: tuple[str, ...]
    names: Mapping[SplitName, Sequence[str]]
    groups: Mapping[SplitName, Sequence[str]]
    files: FileSummary | None = None
    weights: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Measurements:
    """All results of the checks. A sample's index counts through the splits train, val and test, in this order.

    Attributes:
        facts: What the source states.
        collected: What was collected of each sample.
        labels: (n,) class index of each sample.
        split_names: Names of the splits.
        splits: (n,) index of each sample's split.
        starts: Index of the first sample of each split.
        identical: Groups of samples with identical values.
        near: (pairs, 2) near duplicates.
        near_correlation: (pairs,) correlation of each pair.
        near_unread: Number of less similar pairs that may be near duplicates, but whose samples were not compared.
        leaks: Splits of each group that is in several of them.
        constant: Indices of samples with a single value.
        outliers: Samples with unusual statistics, the most unusual first.
        drift: Comparisons of the splits.
    """

    facts: DatasetFacts
    collected: Collected
    labels: NDArray[np.int64]
    split_names: tuple[SplitName, ...]
    splits: NDArray[np.int64]
    starts: NDArray[np.int64]
    identical: Sequence[NDArray[np.int64]]
    near: NDArray[np.int64]
    near_correlation: NDArray[np.float64]
    near_unread: int
    leaks: Mapping[str, tuple[SplitName, ...]]
    constant: NDArray[np.int64]
    outliers: Sequence[Outlier]
    drift: Sequence[DriftTest]

    def place(self, index: int) -> tuple[SplitName, int]:
        """The split of a sample, and its index in it."""
        split = int(self.splits[index])
        return self.split_names[split], int(index - self.starts[split])

    def name(self, index: int) -> str:
        """The name of a sample; its number in its split if it has none."""
        split, place = self.place(index)
        names = self.facts.names.get(split, ())
        return str(names[place]) if len(names) else f"{split} {place}"

    def class_name(self, index: int) -> str:
        """The name of a sample's class."""
        return str(self.facts.classes[int(self.labels[index])])

    def counts(self) -> dict[SplitName, NDArray[np.int64]]:
        """Number of samples of each class, by split."""
        return {
            split: np.bincount(facts.labels, minlength=len(self.facts.classes))
            for split, facts in self.collected.splits.items()
        }


def measure(collected: Collected, facts: DatasetFacts, read: Read, step: int) -> Measurements:
    """Measure everything that can be a finding.

    Args:
        collected: What was collected of each sample.
        facts: What the source states about the samples.
        read: Returns the samples of a split with ascending indices, for the pairs that may be near duplicates.
        step: Number of samples that are read at a time.
    """
    splits = tuple(collected.splits)
    sizes = [len(each) for each in collected.splits.values()]
    split_index = np.repeat(np.arange(len(splits)), sizes)
    starts = np.cumsum([0, *sizes[:-1]])
    labels = np.concatenate([each.labels for each in collected.splits.values()])
    statistics = np.concatenate([each.statistics for each in collected.splits.values()])
    constant = np.concatenate([each.constant for each in collected.splits.values()])
    identical = identical_groups(np.concatenate([each.digests for each in collected.splits.values()]))

    def read_any(chosen: NDArray[np.int64]) -> NDArray[np.generic]:
        parts = [
            read(split, chosen[split_index[chosen] == number] - starts[number])
            for number, split in enumerate(splits)
            if (split_index[chosen] == number).any()
        ]
        return np.concatenate(parts)

    near, correlation, unread = _near_duplicates(collected, identical, constant, read_any, step)
    return Measurements(
        facts=facts,
        collected=collected,
        labels=labels,
        split_names=splits,
        splits=split_index,
        starts=starts,
        identical=identical,
        near=near,
        near_correlation=correlation,
        near_unread=unread,
        leaks=_leaks(facts.groups),
        constant=np.flatnonzero(constant),
        outliers=find_outliers(collected.splits["train"].statistics, statistics, ~constant),
        drift=compare_splits(
            {split: each.statistics for split, each in collected.splits.items()},
            {split: each.labels for split, each in collected.splits.items()},
            len(facts.classes),
        ),
    )


def _near_duplicates(
    collected: Collected,
    identical: Sequence[NDArray[np.int64]],
    constant: NDArray[np.bool_],
    read: Callable[[NDArray[np.int64]], NDArray[np.generic]],
    step: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
    """Compare the first sample of each group of identical ones; samples with a single value resemble nothing."""
    compared = ~constant
    for group in identical:
        compared[group[1:]] = False
    kept = np.flatnonzero(compared)
    described = np.concatenate([each.descriptors for each in collected.splits.values()])
    pairs = candidate_pairs(described[kept])
    found = confirm(kept[pairs], read, neighbour_similarity(described[kept]), step)
    return *found, max(0, len(pairs) - MAX_CONFIRMED)


def _leaks(groups: Mapping[SplitName, Sequence[str]]) -> dict[str, tuple[SplitName, ...]]:
    seen: dict[str, list[SplitName]] = {}
    for split, listed in groups.items():
        for group in dict.fromkeys(listed):
            seen.setdefault(group, []).append(split)
    return {group: tuple(where) for group, where in sorted(seen.items()) if len(where) > 1}
