"""Fit an out-of-distribution detector to the splits, and measure how well it works."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.rows import Rows, SelectedRows
from pipeline.data.training_data import TrainingData
from pipeline.evaluation.ood import SCORES, OODDetector, Score, auroc, fit_ood_detector, noise_like, shuffled
from pipeline.interpretation.network_outputs import NetworkOutputs, joined
from pipeline.sections.evaluate import OutOfDistributionParams

# Maximum numbers of images that the scores are fitted to, of values in all their features, and of generated outliers.
_MAX_FITTED, _MAX_FEATURES, _MAX_GENERATED = 10_000, 30_000_000, 2_000
# Maximum number of values that are read for one of these purposes, so that large images do not take hours.
_MAX_READ = 2_000_000_000
_MAX_PART = 20_000_000  # values of the outliers that are generated at a time, which bounds the memory

Outputs = Callable[[Rows], Iterable[NetworkOutputs]]


@dataclass(frozen=True)
class OODEvaluation:
    """An out-of-distribution detector, and how well it works on the test split.

    Attributes:
        detector: The detector.
        false_positive_rate: Share of the test images that it flags as unfamiliar.
        auroc: For each score and each kind of outliers: the AUROC of outliers against test images.
        flagged: For each kind of outliers: the share that the detector flags as unfamiliar.
    """

    detector: OODDetector
    false_positive_rate: float
    auroc: Mapping[Score, Mapping[str, float]]
    flagged: Mapping[str, float]


def evaluate_ood_detection(
    params: OutOfDistributionParams,
    digest: str,
    outputs: Outputs,
    data: TrainingData,
    test: NDArray[Any],
    outliers: Mapping[str, NDArray[Any]],
    seed: int,
) -> OODEvaluation:
    """Fit a detector, and measure how often it is wrong.

    The scores are fitted to training images, and the threshold is set on validation images. The test images are used
    only for the measurement.

    Args:
        params: The section `evaluate.out_of_distribution` of params.yaml.
        digest: Digest of the network.
        outputs: Function from images to the outputs of the network's last layers, in parts.
        data: The training and validation splits.
        test: (n, *grid, channels) raw values of the test images.
        outliers: The user's out-of-distribution images, by name. Noise and shuffled test images are added to them.
        seed: Seed of the selection of images and of the generated outliers.
    """
    numbers, train = np.random.default_rng(seed), data.train
    values = int(np.prod(test.shape[1:]))
    readable = max(1, _MAX_READ // values)
    features = joined(outputs(train.images[:1])).features.size
    chosen = np.sort(numbers.permutation(len(train.labels))[: min(_MAX_FITTED, _MAX_FEATURES // features, readable)])
    detector = fit_ood_detector(
        digest,
        joined(outputs(SelectedRows(train.images, chosen))),
        train.labels[chosen],
        outputs(data.val.images),
        params.score,
        params.false_positive_rate,
    )

    def scores(images: Iterable[Rows]) -> dict[Score, NDArray[np.float64]]:
        return _joined([[detector.scores(part, kind) for kind in SCORES] for each in images for part in outputs(each)])

    def generated(make: Callable[[NDArray[Any], int], NDArray[Any]]) -> dict[Score, NDArray[np.float64]]:
        size = max(1, _MAX_PART // values)
        parts = (sample[start : start + size] for start in range(0, len(sample), size))
        return scores(make(np.asarray(test[part]), seed + number) for number, part in enumerate(parts))

    familiar = scores([test])
    sample = np.sort(numbers.permutation(len(test))[: min(_MAX_GENERATED, readable)])
    unfamiliar = {"noise": generated(noise_like), "shuffled": generated(shuffled)}
    unfamiliar |= {name: scores([images]) for name, images in outliers.items()}
    return OODEvaluation(
        detector=detector,
        false_positive_rate=float((familiar[params.score] > detector.threshold).mean()),
        auroc={kind: {name: auroc(familiar[kind], each[kind]) for name, each in unfamiliar.items()} for kind in SCORES},
        flagged={name: float((each[params.score] > detector.threshold).mean()) for name, each in unfamiliar.items()},
    )


def _joined(parts: list[list[NDArray[np.float64]]]) -> dict[Score, NDArray[np.float64]]:
    """Concatenate the scores of several parts, each a list with the values of every kind of score."""
    return {kind: np.concatenate(each) for kind, each in zip(SCORES, zip(*parts, strict=True), strict=True)}
