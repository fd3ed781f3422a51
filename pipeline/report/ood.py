"""Evaluate out-of-distribution detection."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.metrics import wilson_interval
from pipeline.evaluation.ood import (
    SCORES,
    Score,
    auroc,
    fit_ood_detector,
    joined,
    noise_like,
    shuffled,
)
from pipeline.pages.tables import Column, table
from pipeline.report.builder import ReportBuilder
from pipeline.report.evaluation import Evaluation

# Maximum numbers of images that the scores are fitted to, of values in all their features, and of generated outliers.
_MAX_FITTED, _MAX_FEATURES, _MAX_MADE_UP = 10_000, 30_000_000, 2_000

_TITLES = {
    "features": "features: Mahalanobis distance to the nearest class",
    "energy": "energy: negative log-sum-exp of the logits",
    "softmax": "softmax: 1 minus the highest probability",
}


def add_ood_section(report: ReportBuilder, evaluation: Evaluation) -> None:
    """Fit the out-of-distribution detector, keep it in the report, and add its evaluation to the report.

    The scores are fitted to training images, and the threshold is set on validation images. The test images are used
    only to measure how often the detector is wrong.

    Args:
        report: Report to extend.
        evaluation: The network, the data and the settings.
    """
    params, train, test = evaluation.params, evaluation.data.train, evaluation.test.images
    asked, features = params.out_of_distribution, joined(evaluation.outputs(train.images[:1])).features.size
    numbers = np.random.default_rng(evaluation.seed)
    chosen = np.sort(numbers.permutation(len(train.labels))[: min(_MAX_FITTED, _MAX_FEATURES // features)])
    detector = fit_ood_detector(
        evaluation.digest,
        joined(evaluation.outputs(train.images[chosen])),
        train.labels[chosen],
        evaluation.outputs(evaluation.data.val.images),
        asked.score,
        asked.false_positive_rate,
    )
    report.ood_detector = detector

    def scores(images: NDArray[Any]) -> dict[Score, NDArray[np.float64]]:
        parts = [[detector.scores(part, kind) for kind in SCORES] for part in evaluation.outputs(images)]
        return {kind: np.concatenate(each) for kind, each in zip(SCORES, zip(*parts, strict=True), strict=True)}

    familiar = scores(test)
    some = np.sort(numbers.permutation(len(test))[:_MAX_MADE_UP])
    outliers = {
        "noise": noise_like(test[some], evaluation.seed),
        "shuffled": shuffled(test[some], evaluation.seed),
        **evaluation.outliers,
    }
    seen = {name: scores(images) for name, images in outliers.items()}
    rows, alarms = [], float((familiar[asked.score] > detector.threshold).mean())
    for kind in SCORES:
        found = {name: auroc(familiar[kind], each[kind]) for name, each in seen.items()}
        rows.append(
            [
                f"{_TITLES[kind]}{' (in use)' if kind == asked.score else ''}",
                *(f"{each:.4f}" for each in found.values()),
            ]
        )
        if kind == asked.score:
            report.metrics |= {f"auroc_{name}": value for name, value in found.items()}
    report.metrics["ood_false_positive_rate"] = alarms
    caught = {name: float((each[asked.score] > detector.threshold).mean()) for name, each in seen.items()}
    said = {"noise": "uniform noise", "shuffled": "shuffled images"}
    outlier_shares = ", ".join(f"{value:.0%} of {said.get(name, name)}" for name, value in caught.items())
    low, high = wilson_interval(round(alarms * len(test)), len(test), params.confidence_level)
    report.verdicts.append(
        f"The out-of-distribution detector flags {alarms:.1%} of the test images as unfamiliar "
        f"({params.confidence_level:.0%} interval {low:.1%} to {high:.1%}; requested: {asked.false_positive_rate:.1%}, "
        f"with the threshold set on {len(evaluation.data.val.labels):,} validation images), and {outlier_shares}."
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
            "ood",
            "Out-of-distribution detection",
            "ood",
            scores=table("AUROC of each score: outliers against test images; 0.5 is chance", heads, rows),
            threshold=detector.threshold,
            false_positive_rate=asked.false_positive_rate,
        )
    )
