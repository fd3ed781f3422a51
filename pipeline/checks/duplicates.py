"""Group samples with identical values, and find those whose labels differ."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def identical_groups(digests: NDArray[np.uint64]) -> list[NDArray[np.int64]]:
    """Group the samples with the same digest.

    Args:
        digests: (n, 2) digests of the values.

    Returns:
        The ascending indices of each group of at least two samples, by first index.
    """
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    in_order = digests[order]
    starts = np.flatnonzero(np.append(True, (in_order[1:] != in_order[:-1]).any(axis=1)))
    ends = np.append(starts[1:], len(order))
    several = ends - starts > 1
    groups = [np.sort(order[start:end]) for start, end in zip(starts[several], ends[several], strict=True)]
    return sorted(groups, key=lambda group: int(group[0]))


def linked_groups(pairs: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Group the samples that are connected by pairs.

    Args:
        pairs: (pairs, 2) indices.

    Returns:
        The ascending indices of each group, by first index.
    """
    first: dict[int, int] = {}

    def root(index: int) -> int:
        while first.setdefault(index, index) != index:
            first[index] = first[first[index]]
            index = first[index]
        return index

    for one, two in pairs.tolist():
        low, high = sorted((root(one), root(two)))
        first[high] = low
    members: dict[int, list[int]] = {}
    for index in sorted(first):
        members.setdefault(root(index), []).append(index)
    return [np.array(group, np.int64) for _, group in sorted(members.items())]


def conflicting(groups: Sequence[NDArray[np.int64]], labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the groups whose samples have several labels.

    Args:
        groups: Indices of each group.
        labels: (n,) class indices.
    """
    return [group for group in groups if len(np.unique(labels[group])) > 1]


def across_splits(groups: Sequence[NDArray[np.int64]], splits: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the groups whose samples are in several splits.

    Args:
        groups: Indices of each group.
        splits: (n,) index of each sample's split.
    """
    return [group for group in groups if len(np.unique(splits[group])) > 1]
