"""Bootstrap intervals of metrics."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.metrics import METRICS, Predictions
from pipeline.params import EvaluateParams

# Resamples that are computed at once, times the images: bounds the memory.
_MOST_CELLS = 4_000_000


def intervals(predictions: Predictions, params: EvaluateParams, seed: int) -> dict[str, tuple[float, float]]:
    """A lower and an upper bound for each metric that is not a share of the images, after Efron (1979), "Bootstrap
    Methods: Another Look at the Jackknife": percentiles over samples of the images, drawn with replacement.

    Args:
        predictions: for the test images.
        params: level of the intervals, number of resamples, and what the metrics need.
        seed: of the samples.
    """
    chosen = {name: metric for name, metric in METRICS.items() if not metric.is_share}
    drawn: dict[str, list[NDArray[np.float64]]] = {name: [] for name in chosen}
    for weights in resampled(len(predictions.labels), params.resamples, seed):
        for name, metric in chosen.items():
            drawn[name].append(metric.compute(predictions, weights, params))
    tails = (50 * (1 - params.confidence), 50 * (1 + params.confidence))
    found = {name: np.percentile(np.concatenate(values), tails) for name, values in drawn.items()}
    return {name: (float(low), float(high)) for name, (low, high) in found.items()}


def resampled(images: int, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each image stands in each sample, (some, images) at a time."""
    numbers = np.random.default_rng(seed)
    at_once = max(1, _MOST_CELLS // images)
    for start in range(0, resamples, at_once):
        some = min(at_once, resamples - start)
        drawn = numbers.integers(0, images, (some, images)) + images * np.arange(some)[:, None]
        yield np.bincount(drawn.ravel(), minlength=some * images).reshape(some, images).astype(float)
