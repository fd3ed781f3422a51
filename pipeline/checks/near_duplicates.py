"""Find near duplicates: samples that show the same content with other values, such as a photo saved twice."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.checks.thumbnails import UNIT, detail, thumbnails

# Two samples are near duplicates if their thumbnails have the first correlation, and either their detail has the second
# one, or they differ 20 times less than typical neighbours. docs/decisions/0042-near-duplicates.md: why.
MIN_CORRELATION, MIN_DETAIL_CORRELATION, MIN_RATIO = 0.98, 0.975, 20.0
MIN_DETAIL_POSITIONS = 256  # on a smaller grid, the detail of independent samples is similar by chance
MAX_CONFIRMED = 50_000  # pairs whose samples are read; the most similar ones come first
_MIN_VALUES = 15  # of a descriptor; samples on smaller grids are only compared value by value
_ALL_PAIRS = 2048  # maximum number of samples of which all pairs are compared
_MIN_SIMILARITY, _MIN_WHITENED_SIMILARITY = 0.98, 0.92
_QUERIES, _RANK = 64, 10
_BITS, _ORDERS, _WINDOW, _MAX_HAMMING = 64, 16, 6, 12
_GRID = 2.0**-20  # of the whitening's weights, so that sums are exact
_STEP, _LONG_STEP = 256, 65536

Rows = Callable[[NDArray[np.int64]], NDArray[np.generic]]


def candidate_pairs(found: NDArray[np.int16]) -> NDArray[np.int64]:
    """Find pairs of samples with similar descriptors.

    Up to 2,048 samples, each is compared with each. Of more samples, the descriptors are whitened, and the signs of
    their values are a 64-bit hash. The hashes are sorted 16 times, each time from another bit on, and each is compared
    with the next six: the time is proportional to the number of samples.

    Args:
        found: (n, values) descriptors.

    Returns:
        (pairs, 2) ascending indices of each pair, the most similar pairs first.
    """
    if len(found) < 2 or found.shape[1] < _MIN_VALUES:
        return np.empty((0, 2), np.int64)
    if len(found) <= _ALL_PAIRS:
        whole = found.astype(np.float64)
        close = np.triu(whole @ whole.T >= _MIN_SIMILARITY * UNIT**2, 1)
        return _most_similar(whole / UNIT, np.stack(np.nonzero(close), axis=1), 0.0)
    values = _whitened(found)
    return _most_similar(values, _close_hashes(values > 0), _MIN_WHITENED_SIMILARITY)


def _whitened(found: NDArray[np.int16]) -> NDArray[np.float32]:
    """Rotate descriptors onto their principal components, each scaled to variance 1; then scale each to length 1."""
    mean = np.rint(found.mean(axis=0, dtype=np.float64))
    covariance = np.zeros((found.shape[1],) * 2)
    for chunk in _chunks(found):
        centred = chunk - mean
        covariance += centred.T @ centred
    variances, components = np.linalg.eigh(covariance / len(found))
    used = variances > 1e-6 * variances[-1]
    weights = components[:, used][:, ::-1] / np.sqrt(variances[used][::-1])
    weights = np.rint(weights / _GRID) * _GRID
    rotated = np.empty((len(found), weights.shape[1]), np.float32)
    for start, chunk in zip(range(0, len(found), _LONG_STEP), _chunks(found), strict=True):
        values = ((chunk - mean) @ weights).astype(np.float32)
        length = np.sqrt(np.einsum("nv,nv->n", values, values))[:, None]
        rotated[start : start + len(chunk)] = values / np.where(length > 0, length, 1)
    return rotated


def _close_hashes(bits: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(pairs, 2) ascending indices of samples whose hashes are neighbours in one of the orders."""
    bits = bits[:, :_BITS]
    count, hashes = len(bits), _packed(bits)
    near = []
    for turn in range(_ORDERS):
        order = np.argsort(_packed(np.roll(bits, -(turn * bits.shape[1] // _ORDERS), axis=1)), kind="stable")
        sorted_hashes = hashes[order]
        for step in range(1, _WINDOW + 1):
            distance = np.bitwise_count(sorted_hashes[:-step] ^ sorted_hashes[step:])
            close = np.flatnonzero(distance <= _MAX_HAMMING)
            one, two = order[close], order[close + step]
            near.append(np.minimum(one, two) * count + np.maximum(one, two))
    return np.stack(np.divmod(np.unique(np.concatenate(near)), count), axis=1)


def _packed(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    padded = np.zeros((len(bits), _BITS), np.bool_)
    padded[:, : bits.shape[1]] = bits
    return np.packbits(padded, axis=1).view(">u8")[:, 0].astype(np.uint64)


def _most_similar(values: NDArray[np.floating], pairs: NDArray[np.int64], least: float) -> NDArray[np.int64]:
    similarity = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), _LONG_STEP):
        one, two = pairs[start : start + _LONG_STEP].T
        similarity[start : start + _LONG_STEP] = np.einsum("nv,nv->n", values[one], values[two])
    kept = np.flatnonzero(similarity >= least)
    return np.asarray(pairs[kept[np.argsort(-similarity[kept], kind="stable")]], np.int64)


def _chunks(values: NDArray[np.generic]) -> list[NDArray[np.generic]]:
    return [values[start : start + _LONG_STEP] for start in range(0, len(values), _LONG_STEP)]


def neighbour_similarity(found: NDArray[np.int16]) -> float:
    """Median similarity of a sample to the tenth most similar other one, over 64 samples, evenly spread.

    The most similar ones may be its own copies.

    Args:
        found: (n, values) descriptors.

    Returns:
        A correlation; 1 if there are too few samples or values to measure it.
    """
    if len(found) < 2 or found.shape[1] < _MIN_VALUES:
        return 1.0
    queries = np.unique(np.linspace(0, len(found) - 1, _QUERIES).astype(np.int64))
    rank = min(_RANK, len(found) - 1)
    whole = found[queries].astype(np.float64)
    best = np.empty((len(queries), 0))
    for start, chunk in zip(range(0, len(found), _LONG_STEP), _chunks(found), strict=True):
        similarity = whole @ chunk.T.astype(np.float64)
        inside = np.flatnonzero((queries >= start) & (queries < start + len(chunk)))
        similarity[inside, queries[inside] - start] = -np.inf
        similarity.partition(max(0, similarity.shape[1] - rank), axis=1)
        best = np.concatenate([best, similarity[:, -rank:]], axis=1)
    best.sort(axis=1)
    return float(np.median(best[:, -rank])) / UNIT**2


def confirm(
    pairs: NDArray[np.int64], read: Rows, typical: float, step: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Keep the pairs whose samples are near duplicates.

    Args:
        pairs: (pairs, 2) indices, the most similar pairs first.
        read: Returns the samples (n, *grid, channels) of ascending indices.
        typical: Typical similarity of nearest neighbours, from `neighbour_similarity`.
        step: Number of samples that are read at a time.

    Returns:
        The pairs that are kept, in ascending order, and the correlation of each.
    """
    kept, correlations = [np.empty((0, 2), np.int64)], [np.empty(0)]
    for start in range(0, min(len(pairs), MAX_CONFIRMED), _STEP):
        chunk = pairs[start : start + _STEP]
        needed = np.unique(chunk)
        small = np.concatenate([thumbnails(read(needed[at : at + step])) for at in range(0, len(needed), step)])
        one, two = (np.searchsorted(needed, chunk[:, side]) for side in (0, 1))
        whole = _correlations(small, one, two)
        alike = 1 - whole <= (1 - typical) / MIN_RATIO
        if np.prod(small.shape[1:-1]) >= MIN_DETAIL_POSITIONS:
            alike |= _correlations(detail(small), one, two) >= MIN_DETAIL_CORRELATION
        close = (whole >= MIN_CORRELATION) & alike
        kept.append(chunk[close])
        correlations.append(whole[close])
    found, values = np.concatenate(kept), np.concatenate(correlations)
    order = np.lexsort((found[:, 1], found[:, 0]))
    return found[order], values[order]


def _correlations(values: NDArray[np.float32], one: NDArray[np.int64], two: NDArray[np.int64]) -> NDArray[np.float64]:
    flat = values.reshape(len(values), -1).astype(np.float64)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.sqrt(np.einsum("nv,nv->n", flat, flat))
    product, scale = np.einsum("nv,nv->n", flat[one], flat[two]), length[one] * length[two]
    return np.asarray(np.divide(product, scale, out=np.zeros_like(product), where=scale > 0))
