"""Intervals of a judgement's figures by the bootstrap."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.metrics import Predictions

# Resamples that are computed at once, times the images: bounds the memory.
_MOST_CELLS = 4_000_000

# Shares of images are not among them: they have Wilson's interval, which does not shrink to nothing at 1.
FIGURES = ("balanced_accuracy", "macro_f1", "log_loss", "brier_score", "expected_calibration_error")


def intervals(
    answers: Predictions, bins: int, confidence: float, resamples: int, seed: int
) -> dict[str, tuple[float, float]]:
    """A lower and an upper bound for each of FIGURES, after Efron (1979), "Bootstrap Methods: Another Look at the
    Jackknife": percentiles of the figure over samples of the images, drawn with replacement.

    Args:
        answers: to the test images.
        bins: of the calibration error.
        confidence: level of the intervals, such as 0.95.
        resamples: samples drawn.
        seed: of the samples.
    """
    drawn = [figures(answers, weights, bins) for weights in resampled(len(answers.labels), resamples, seed)]
    tails = (50 * (1 - confidence), 50 * (1 + confidence))
    found = {}
    for name in FIGURES:
        low, high = np.percentile(np.concatenate([each[name] for each in drawn]), tails)
        found[name] = (float(low), float(high))
    return found


def figures(answers: Predictions, weights: NDArray[np.float64], bins: int) -> dict[str, NDArray[np.float64]]:
    """Each of FIGURES for each way of weighting the images; `pipeline.evaluation.metrics` defines them.

    Args:
        answers: to n images.
        weights: (ways, n), how often each image counts.
        bins: as in `intervals`.

    Returns:
        (ways,) for each name.
    """
    classes = np.eye(answers.probabilities.shape[1])
    actual, predicted, total = classes[answers.labels], classes[answers.predicted], weights.sum(axis=1)
    hits, present, told = weights @ (actual * predicted), weights @ actual, weights @ predicted
    recall = np.where(present > 0, hits / np.maximum(present, 1), np.nan)
    f1 = np.where(present + told > 0, 2 * hits / np.maximum(present + told, 1), np.nan)
    gaps = weights @ (np.eye(bins)[answers.bins(bins)] * (answers.confidence - answers.correct)[:, None])
    right = answers.probabilities[np.arange(len(answers.labels)), answers.labels]
    return {
        "balanced_accuracy": np.nanmean(recall, axis=1),
        "macro_f1": np.nanmean(f1, axis=1),
        "log_loss": weights @ -np.log(np.maximum(right, np.finfo(float).eps)) / total,
        "brier_score": weights @ ((answers.probabilities - actual) ** 2).sum(axis=1) / total,
        "expected_calibration_error": np.abs(gaps).sum(axis=1) / total,
    }


def resampled(images: int, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each image stands in each sample, (some, images) at a time."""
    numbers = np.random.default_rng(seed)
    at_once = max(1, _MOST_CELLS // images)
    for start in range(0, resamples, at_once):
        some = min(at_once, resamples - start)
        drawn = numbers.integers(0, images, (some, images)) + images * np.arange(some)[:, None]
        yield np.bincount(drawn.ravel(), minlength=some * images).reshape(some, images).astype(float)
