"""How well the network tells when an input is none of its business."""

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

# Images that the scores are fitted to, features of theirs in all, and outliers that are made up, at most.
_MOST_FITTED, _MOST_FEATURES, _MOST_MADE_UP = 10_000, 30_000_000, 2_000

_TOLD = {
    "features": "distance to the nearest class, in the directions of the last layer's features",
    "energy": "energy",
    "softmax": "1 less the greatest probability",
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
    """Fit the scores, put the threshold, and write into the report how well they work.

    The score is fitted to training images and its threshold put by validation images; the test images only say how
    often it is wrong.

    Args:
        report: takes it.
        params: how to judge.
        seed: of the choice of training images and of the made-up outliers.
        network: digest of the network.
        look: from images to what the network's last layers say about them, part by part.
        train: training images with their labels.
        val: validation images.
        test: test images.
        named: outliers of the user's, by name; of the shape of the others.

    Returns:
        What `predict` needs to tell unfamiliar inputs.
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
        f"{alarms:.1%} of the test images are flagged as unfamiliar ({params.confidence_level:.0%} interval "
        f"{low:.1%} to {high:.1%}; requested: {asked.false_positive_rate:.1%}, by a threshold set on {len(val):,} "
        f"validation images), and {outlier_shares}."
    )
    mistaken = [said.get(name, name) for name in outliers if report.metrics[f"auroc_{name}"] <= 0.5]
    if mistaken:
        report.verdicts.append(
            f"Warning: the detector does not distinguish {' and '.join(mistaken)} from the test images, so on these "
            "data the flag `unfamiliar` is meaningless; do not rely on it."
        )
    heads = [Column("score"), *(Column(f"AUROC, {name}", number=True) for name in outliers)]
    report.sections.append(
        report.section(
            "unfamiliar",
            "Unfamiliar input",
            "ood",
            scores=table("How well each score tells outliers from test images; 0.5 is chance", heads, rows),
            threshold=known.threshold,
            false_positive_rate=asked.false_positive_rate,
        )
    )
    return known
