"""How good the answers are."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from pipeline.data.split import Split
from pipeline.evaluation.bootstrap import intervals
from pipeline.evaluation.curves import Curves, curves
from pipeline.evaluation.metrics import (
    METRICS,
    Predictions,
    calibration,
    per_class,
    share_intervals,
    summary,
    wilson_interval,
)
from pipeline.pages.tables import Cell, Column, table
from pipeline.params import EvaluateParams
from pipeline.plots.curves import draw_curves
from pipeline.plots.evaluation import draw_calibration, draw_confusion, draw_doubts, draw_mistakes, worst_first
from pipeline.report.builder import ReportBuilder

_AP = "average precision"


def add_quality_section(
    report: ReportBuilder,
    params: EvaluateParams,
    seed: int,
    answers: Predictions,
    test: Split,
    classes: tuple[str, ...],
) -> None:
    """Write the quality of answers to the test images into the report.

    Args:
        report: takes it.
        params: how to judge.
        seed: of the bootstrap.
        answers: to the test images.
        test: test split.
        classes: their names.
    """
    images = test.images
    figures = summary(answers, params)
    bounds = intervals(answers, params, seed) | share_intervals(answers, params)
    for name, value in figures.items():
        report.metrics[name] = value
        if name in bounds:
            report.metrics[f"{name}_low"], report.metrics[f"{name}_high"] = bounds[name]
    low, high = bounds["accuracy"]
    report.verdicts.append(
        f"Test accuracy {figures['accuracy']:.4f} ({params.confidence_level:.0%} interval {low:.4f} to {high:.4f}), "
        f"{int((~answers.correct).sum()):,} mistakes in {len(answers.labels):,} images."
    )
    rows: list[list[str | Cell]] = [
        [
            metric.title.format(k=min(params.top_k, len(classes))),
            f"{figures[name]:.4f}",
            *(f"{bound:.4f}" for bound in bounds[name]),
            "Wilson" if metric.is_share else "bootstrap",
        ]
        for name, metric in METRICS.items()
    ]
    heads = [Column("figure"), *(Column(title, number=True) for title in ("value", "from", "to")), Column("interval")]
    found = {each.name: each for each in curves(answers, classes)}
    classwise = [row | _areas(found.get(row["class"])) for row in per_class(answers, classes)]
    if (~answers.correct).any():
        report.verdicts.append(_weakest(classwise, answers, classes, params))
    report.table("classes", classwise)
    report.table(
        "confusion",
        (
            {"actual": classes[actual], "predicted": classes[predicted]}
            for actual, predicted in zip(answers.labels, answers.predicted, strict=True)
        ),
    )
    bins = calibration(answers, params.calibration_bins)
    report.table(
        "calibration",
        (vars(each) | dict(zip(("low", "high"), each.interval(params.confidence_level), strict=True)) for each in bins),
    )
    titles = ["precision", "recall", "from", "to", "f1", "support", "ROC AUC", _AP]
    class_heads = [Column("class"), *(Column(title, number=True) for title in titles)]
    class_rows: list[list[str | Cell]] = [
        [
            Cell(str(row["class"])),
            *(Cell(f"{row[name]:.4f}", row[name]) for name in ("precision", "recall")),
            *(Cell(f"{bound:.4f}", bound) if row["support"] else Cell("") for bound in _recall_interval(row, params)),
            Cell(f"{row['f1']:.4f}", row["f1"]),
            Cell(f"{row['support']:,}", row["support"]),
            *(Cell(f"{row[name]:.4f}", row[name]) if row[name] != "" else Cell("") for name in ("ROC AUC", _AP)),
        ]
        for row in classwise
    ]
    error = figures["expected_calibration_error"]
    report.sections.append(
        report.section(
            "quality",
            "Quality",
            "quality",
            figures=table(f"Figures with {params.confidence_level:.0%} intervals", heads, rows),
            resamples=params.resamples,
            classes=table(
                f"Figures of each class; recall with its {params.confidence_level:.0%} interval (Wilson)",
                class_heads,
                class_rows,
                sorted_by=0,
            ),
            confusion=report.plot(
                "confusion",
                draw_confusion(answers, classes),
                "What was taken for what: counts of images, the darker the greater their share of the actual class.",
            ),
            calibration=report.plot(
                "calibration",
                draw_calibration(bins, error, params.confidence_level),
                "How often answers of a confidence are right, with Wilson's intervals; below, how many there are.",
            ),
            curves=report.plot(
                "curves",
                draw_curves(tuple(found.values())),
                "Each class against all others; the ten worst ones are named.",
            ),
            mistakes=report.images(
                "mistakes",
                draw_mistakes(images, answers, classes, params.mistakes),
                "Wrong answers that the network was most sure of.",
            ),
            mistakes_by_name=_mistakes(report, params, answers, test, classes),
            doubts=report.images(
                "doubts",
                draw_doubts(images, answers, classes, params.mistakes),
                "Right answers that it was least sure of.",
            ),
        )
    )


def _weakest(
    rows: Sequence[dict[str, Any]], answers: Predictions, classes: tuple[str, ...], params: EvaluateParams
) -> str:
    """The class with the least recall, and what it is taken for, in a sentence."""
    weakest = min((row for row in rows if row["support"]), key=lambda row: row["recall"])
    label = classes.index(weakest["class"])
    low, high = _recall_interval(weakest, params)
    taken = Counter(answers.predicted[(answers.labels == label) & ~answers.correct].tolist())
    other, times = min(taken.items(), key=lambda item: (-item[1], item[0]))
    return (
        f"The weakest class is {weakest['class']}: recall {weakest['recall']:.4f} "
        f"({params.confidence_level:.0%} interval {low:.4f} to {high:.4f}, "
        f"n = {weakest['support']:,}), most often taken for {classes[other]} ({times:,})."
    )


def _mistakes(
    report: ReportBuilder, params: EvaluateParams, answers: Predictions, test: Split, classes: tuple[str, ...]
) -> Markup:
    """All mistakes as a file, and a table of the first ones, by the names of their images."""
    wrong = worst_first(answers)
    if not wrong.size:
        return Markup()
    mistakes = [
        {
            "no.": place,
            "image": test.names[place] if test.names else f"test {place}",
            "actual": classes[answers.labels[place]],
            "predicted": classes[answers.predicted[place]],
            "probability": float(answers.confidence[place]),
        }
        for place in wrong.tolist()
    ]
    report.table("mistakes", mistakes)
    rows: list[list[str | Cell]] = [
        [
            Cell(str(each["no."]), each["no."]),
            *(str(each[name]) for name in ("image", "actual", "predicted")),
            Cell(f"{each['probability']:.4f}", each["probability"]),
        ]
        for each in mistakes[: params.mistakes]
    ]
    heads = [Column(name, number=name in ("no.", "probability")) for name in mistakes[0]]
    return table(f"The images of these mistakes; all {len(wrong):,} are in mistakes.csv", heads, rows, sortable=True)


def _recall_interval(row: dict[str, Any], params: EvaluateParams) -> tuple[float, float]:
    """Wilson's, of a class's recall; of no use for a class without images."""
    support = row["support"]
    return wilson_interval(round(row["recall"] * support), support, params.confidence_level) if support else (0.0, 0.0)


def _areas(found: Curves | None) -> dict[str, Any]:
    """Of a class's curves; nothing for a class that has none."""
    return {"ROC AUC": "", _AP: ""} if found is None else {"ROC AUC": found.roc_auc, _AP: found.average_precision}
