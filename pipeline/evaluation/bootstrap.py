"""Bootstrap intervals of metrics."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.metrics import METRICS, Predictions
from pipeline.sections import EvaluateParams

# Number of resamples times images that are computed at once, which bounds the memory.
_MAX_CELLS = 4_000_000


def intervals(predictions: Predictions, params: EvaluateParams, seed: int) -> dict[str, tuple[float, float]]:
    """Bootstrap interval of each metric that is not a share of the images.

    After Efron (1979), "Bootstrap Methods: Another Look at the Jackknife": percentiles over samples of the images,
    drawn with replacement.

    Args:
        predictions: Predictions for the test images.
        params: Level of the intervals, number of resamples, and settings of the metrics.
        seed: Seed of the samples.

    Returns:
        Lower and upper bound of each metric.
    """
    chosen = {name: metric for name, metric in METRICS.items() if not metric.is_share}
    drawn: dict[str, list[NDArray[np.float64]]] = {name: [] for name in chosen}
    for weights in resampled(len(predictions.labels), params.resamples, seed):
        for name, metric in chosen.items():
            drawn[name].append(metric.compute(predictions, weights, params))
    tails = (50 * (1 - params.confidence_level), 50 * (1 + params.confidence_level))
    found = {name: np.percentile(np.concatenate(values), tails) for name, values in drawn.items()}
    return {name: (float(low), float(high)) for name, (low, high) in found.items()}


def resampled(images: int, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield how often each image occurs in each sample, as arrays (samples, images) of limited size."""
    numbers = np.random.default_rng(seed)
    at_once = max(1, _MAX_CELLS // images)
    for start in range(0, resamples, at_once):
        some = min(at_once, resamples - start)
        drawn = numbers.integers(0, images, (some, images)) + images * np.arange(some)[:, None]
        yield np.bincount(drawn.ravel(), minlength=some * images).reshape(some, images).astype(float)
