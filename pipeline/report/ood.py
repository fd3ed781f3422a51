"""Evaluate out-of-distribution detection."""

from pipeline.evaluation.evaluation import Evaluation
from pipeline.evaluation.metrics import wilson_interval
from pipeline.pages.tables import Column, table
from pipeline.report.builder import ReportBuilder

_TITLES = {
    "features": "features: Mahalanobis distance to the nearest class",
    "energy": "energy: negative log-sum-exp of the logits",
    "softmax": "softmax: 1 minus the highest probability",
}


def add_ood_section(report: ReportBuilder, evaluation: Evaluation) -> None:
    """Add the evaluation of the out-of-distribution detector to the report.

    Args:
        report: Report to extend.
        evaluation: The evaluation.
    """
    params, asked, result = evaluation.params, evaluation.params.out_of_distribution, evaluation.ood
    rows = [
        [
            f"{_TITLES[kind]}{' (in use)' if kind == asked.score else ''}",
            *(f"{value:.4f}" for value in by_name.values()),
        ]
        for kind, by_name in result.auroc.items()
    ]
    used = result.auroc[asked.score]
    report.metrics |= {f"auroc_{name}": value for name, value in used.items()}
    report.metrics["ood_false_positive_rate"] = rate = result.false_positive_rate
    many = report.words.many
    said = {"noise": "uniform noise", "shuffled": f"shuffled {many}", "outliers": "your outliers"}
    *others, last = (f"{value:.0%} of {said.get(name, name)}" for name, value in result.flagged.items())
    outlier_shares = " and ".join(filter(None, (", ".join(others), last)))
    images = len(evaluation.test.labels)
    low, high = wilson_interval(round(rate * images), images, params.confidence_level)
    report.verdicts.append(
        f"The out-of-distribution detector flags {rate:.1%} of the test {many} as unfamiliar "
        f"({params.confidence_level:.0%} interval {low:.1%} to {high:.1%}; requested: {asked.false_positive_rate:.1%}, "
        f"with the threshold set on {len(evaluation.data.val.labels):,} validation {many}). It also flags "
        f"{outlier_shares}."
    )
    mistaken = [said.get(name, name) for name, value in used.items() if value <= 0.5]
    if mistaken:
        report.verdicts.append(
            f"Warning: the detector does not distinguish {' and '.join(mistaken)} from the test {many} (AUROC of at "
            "most 0.5), so the flag “unfamiliar” is meaningless for this dataset; do not rely on it."
        )
    heads = [Column("score"), *(Column(f"AUROC, {name}", number=True) for name in used)]
    report.sections.append(
        report.section(
            "ood",
            "Out-of-distribution detection",
            "ood",
            scores=table(f"AUROC of each score: outliers against test {many}; 0.5 is chance", heads, rows),
            threshold=result.detector.threshold,
            false_positive_rate=asked.false_positive_rate,
        )
    )
