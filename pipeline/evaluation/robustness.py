"""Evaluate the robustness of a network against corrupted images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.corruptions.corruption import SEVERITIES
from pipeline.corruptions.corruptions import CORRUPTIONS, corrupt, corruptions_of
from pipeline.data.dataset import Kind
from pipeline.evaluation.bootstrap import resampled
from pipeline.evaluation.metrics import wilson_interval
from pipeline.terminal.progress import progress

# Largest number of images and of values that are corrupted at a time, which bounds the memory.
_MAX_IMAGES, _MAX_VALUES = 1000, 2_000_000
# Largest number of images and of values that are corrupted in all, which bounds the time.
_MAX_SAMPLE, _MAX_SAMPLE_VALUES = 10_000, 500_000_000


@dataclass(frozen=True, eq=False)
class CorruptionResult:
    """Results for one corruption of one severity.

    Attributes:
        corruption: Name of the corruption.
        severity: Its severity, from 1.
        amount: Amount at this severity.
        unit: Unit of the amount.
        places: (n,) indices of the corrupted test images.
        correct: (n,) whether each of them is classified correctly.
    """

    corruption: str
    severity: int
    amount: float
    unit: str
    places: NDArray[np.int64]
    correct: NDArray[np.bool_]

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.correct)

    @property
    def accuracy(self) -> float:
        """Share of the images that are classified correctly."""
        return int(self.correct.sum()) / self.images

    def interval(self, level: float) -> tuple[float, float]:
        """Wilson interval of the accuracy at a level such as 0.95."""
        return wilson_interval(int(self.correct.sum()), self.images, level)


def evaluate_corruptions(
    predict: Callable[[NDArray[np.float32]], NDArray[Any]],
    images: NDArray[Any],
    labels: NDArray[np.int64],
    names: Sequence[str],
    seed: int,
    kind: Kind = "image",
) -> tuple[CorruptionResult, ...]:
    """Evaluate a network on corrupted copies of images, for each corruption and severity.

    Of more than 10,000 images, or 500 million values, a random sample is corrupted.

    Args:
        predict: Function from (n, *grid, channels) raw values to (n, classes) probabilities.
        images: (n, *grid, channels) raw values.
        labels: (n,) class indices.
        names: Names of corruptions; those that do not apply to the kind of samples are left out.
        seed: Seed of all random choices.
        kind: Kind of the samples.
    """
    bounds, found = bounds_of(images), []
    values = int(np.prod(images.shape[1:]))
    most = max(1, min(_MAX_SAMPLE, _MAX_SAMPLE_VALUES // values))
    chunk = max(1, min(_MAX_IMAGES, _MAX_VALUES // values))
    places = np.sort(np.random.default_rng(seed).permutation(len(images))[:most])
    corruptions = corruptions_of(kind, tuple(names))
    for name in progress(corruptions, "robustness", len(corruptions), naming=in_words):
        for severity in SEVERITIES:
            right = []
            for number, start in enumerate(range(0, len(places), chunk)):
                part = places[start : start + chunk]
                corrupted = corrupt(images[part], name, severity, seed + number, bounds, kind)
                right.append(predict(corrupted).argmax(axis=1) == labels[part])
            each = CORRUPTIONS[kind][name]
            amount, correct = each.amounts[severity - 1], np.concatenate(right)
            found.append(CorruptionResult(name, severity, amount, each.unit, places, correct))
    return tuple(found)


def recall_by_class(hits: NDArray[np.bool_], labels: NDArray[np.int64]) -> tuple[float, ...]:
    """Recall of each class, up to the largest label; 0 for a class without images."""
    counts = np.bincount(labels)
    return tuple(float(share) for share in np.bincount(labels, weights=hits) / np.maximum(counts, 1))


def in_words(corruption: str) -> str:
    """Name of a corruption for readers."""
    return corruption.replace("_", " ")


def means(corruption_results: Sequence[CorruptionResult]) -> dict[str, float]:
    """Mean accuracy of each corruption over its severities, in order."""
    kinds = dict.fromkeys(each.corruption for each in corruption_results)
    return {
        kind: float(np.mean([each.accuracy for each in corruption_results if each.corruption == kind]))
        for kind in kinds
    }


def robustness(
    corruption_results: Sequence[CorruptionResult], clean: float, clean_low: float, chance: float
) -> float | None:
    """Share of the lead over chance that remains on corrupted images, from 0 to 1.

    It is (mean accuracy over all corruptions and severities - chance) / (clean - chance), clipped to 0 to 1.

    Args:
        corruption_results: Results on corrupted images.
        clean: Accuracy on the clean images.
        clean_low: Lower bound of the interval of that accuracy.
        chance: Share of the largest class.

    Returns:
        The robustness; None if the accuracy on clean images is not significantly above chance, so that there is no lead
        to keep.
    """
    if not corruption_results or clean_low <= chance:
        return None
    corrupted = float(np.mean([each.accuracy for each in corruption_results]))
    return min(1.0, max(0.0, (corrupted - chance) / (clean - chance)))


def robustness_interval(
    corruption_results: Sequence[CorruptionResult],
    clean: NDArray[np.bool_],
    chance: float,
    confidence: float,
    resamples: int,
    seed: int,
) -> tuple[float, float]:
    """Bootstrap interval of the robustness. Each image is resampled together with its corrupted copies.

    Args:
        corruption_results: Results on corrupted images.
        clean: (n,) whether each of these images is classified correctly when it is clean.
        chance: Share of the largest class.
        confidence: Level of the interval.
        resamples: Number of bootstrap samples.
        seed: Seed of the samples.
    """
    corrupted = np.mean([each.correct for each in corruption_results], axis=0)
    kept = []
    for weights in resampled(len(clean), resamples, seed):
        lead = weights @ clean / len(clean) - chance
        left = (weights @ corrupted / len(clean) - chance) / np.where(lead > 0, lead, np.nan)
        kept.append(np.clip(left, 0.0, 1.0))
    low, high = np.nanpercentile(np.concatenate(kept), (50 * (1 - confidence), 50 * (1 + confidence)))
    return float(low), float(high)


def bounds_of(images: NDArray[Any]) -> tuple[float, float]:
    """Smallest and largest value that a pixel can have: those of uint8, or for float images those that occur."""
    if images.dtype == np.uint8:
        return 0.0, 255.0
    low, high = float(np.min(images)), float(np.max(images))
    return low, max(high, low + 1e-6)
