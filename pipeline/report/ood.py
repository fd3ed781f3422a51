"""Evaluate out-of-distribution detection."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.metrics import wilson_interval
from pipeline.evaluation.ood import (
    SCORES,
    NetworkOutputs,
    OODDetector,
    Score,
    auroc,
    fit_ood_detector,
    joined,
    noise_like,
    shuffled,
)
from pipeline.pages.tables import Column, table
from pipeline.params import EvaluateParams
from pipeline.report.builder import ReportBuilder

# Maximum numbers of images that the scores are fitted to, of values in all their features, and of generated outliers.
_MOST_FITTED, _MOST_FEATURES, _MOST_MADE_UP = 10_000, 30_000_000, 2_000

_TOLD = {
    "features": "features: Mahalanobis distance to the nearest class",
    "energy": "energy: negative log-sum-exp of the logits",
    "softmax": "softmax: 1 minus the highest probability",
}


def add_ood_section(
    report: ReportBuilder,
    params: EvaluateParams,
    seed: int,
    network: str,
    look: Callable[[NDArray[Any]], Iterable[NetworkOutputs]],
    train: tuple[NDArray[Any], NDArray[np.int64]],
    val: NDArray[Any],
    test: NDArray[Any],
    named: Mapping[str, NDArray[Any]],
) -> OODDetector:
    """Fit the out-of-distribution detector, and add its evaluation to the report.

    The scores are fitted to training images, and the threshold is set on validation images. The test images are used
    only to measure how often the detector is wrong.

    Args:
        report: Report to extend.
        params: The section `evaluate` of params.yaml.
        seed: Seed of the selection of images and of the generated outliers.
        network: Digest of the network.
        look: Function from images to the outputs of the network's last layers, in parts.
        train: Training images and their labels.
        val: Validation images.
        test: Test images.
        named: The user's outliers, by name, with the same shape as the other images.

    Returns:
        The detector that `predict` uses to flag unfamiliar inputs.
    """
    numbers = np.random.default_rng(seed)
    asked, features = params.out_of_distribution, joined(look(train[0][:1])).features.size
    chosen = np.sort(numbers.permutation(len(train[1]))[: min(_MOST_FITTED, _MOST_FEATURES // features)])
    fitted = joined(look(train[0][chosen]))
    known = fit_ood_detector(network, fitted, train[1][chosen], look(val), asked.score, asked.false_positive_rate)

    def scores(images: NDArray[Any]) -> dict[Score, NDArray[np.float64]]:
        parts = [[known.scores(part, kind) for kind in SCORES] for part in look(images)]
        return {kind: np.concatenate(each) for kind, each in zip(SCORES, zip(*parts, strict=True), strict=True)}

    familiar = scores(test)
    some = np.sort(numbers.permutation(len(test))[:_MOST_MADE_UP])
    outliers = {"noise": noise_like(test[some], seed), "shuffled": shuffled(test[some], seed), **named}
    seen = {name: scores(images) for name, images in outliers.items()}
    rows, alarms = [], float((familiar[asked.score] > known.threshold).mean())
    for kind in SCORES:
        found = {name: auroc(familiar[kind], each[kind]) for name, each in seen.items()}
        rows.append(
            [f"{_TOLD[kind]}{' (in use)' if kind == asked.score else ''}", *(f"{each:.4f}" for each in found.values())]
        )
        if kind == asked.score:
            report.metrics |= {f"auroc_{name}": value for name, value in found.items()}
    report.metrics["ood_false_positive_rate"] = alarms
    caught = {name: float((each[asked.score] > known.threshold).mean()) for name, each in seen.items()}
    said = {"noise": "uniform noise", "shuffled": "shuffled images"}
    outlier_shares = ", ".join(f"{value:.0%} of {said.get(name, name)}" for name, value in caught.items())
    low, high = wilson_interval(round(alarms * len(test)), len(test), params.confidence_level)
    report.verdicts.append(
        f"The out-of-distribution detector flags {alarms:.1%} of the test images as unfamiliar "
        f"({params.confidence_level:.0%} interval {low:.1%} to {high:.1%}; requested: {asked.false_positive_rate:.1%}, "
        f"with the threshold set on {len(val):,} validation images), and {outlier_shares}."
    )
    mistaken = [said.get(name, name) for name in outliers if report.metrics[f"auroc_{name}"] <= 0.5]
    if mistaken:
        report.verdicts.append(
            f"Warning: the detector does not distinguish {' and '.join(mistaken)} from the test images (AUROC of at "
            "most 0.5), so the flag `unfamiliar` is meaningless for this dataset; do not rely on it."
        )
    heads = [Column("score"), *(Column(f"AUROC, {name}", number=True) for name in outliers)]
    report.sections.append(
        report.section(
            "unfamiliar",
            "Out-of-distribution detection",
            "ood",
            scores=table("AUROC of each score: outliers against test images; 0.5 is chance", heads, rows),
            threshold=known.threshold,
            false_positive_rate=asked.false_positive_rate,
        )
    )
    return known
