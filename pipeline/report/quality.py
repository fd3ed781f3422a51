"""Report the quality of the predictions."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from pipeline.data.split import Split
from pipeline.errors import plural
from pipeline.evaluation.bootstrap import intervals
from pipeline.evaluation.curves import Curves, curves
from pipeline.evaluation.evaluation import Evaluation
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
from pipeline.plots.curves import draw_curves
from pipeline.plots.evaluation import draw_calibration, draw_confusion, draw_least_certain, draw_mistakes, worst_first
from pipeline.report.builder import ReportBuilder
from pipeline.sections import EvaluateParams
from pipeline.training.loss_weights import mean_weights

_AP = "average precision"


def add_quality_section(report: ReportBuilder, evaluation: Evaluation) -> None:
    """Add the quality of the predictions for the test images to the report.

    Args:
        report: Report to extend.
        evaluation: The network, the data and the settings.
    """
    params, predictions, classes = evaluation.params, evaluation.predictions, evaluation.classes
    test = evaluation.test
    images = test.images
    metrics = summary(predictions, params)
    bounds = intervals(predictions, params, evaluation.seed) | share_intervals(predictions, params)
    for name, value in metrics.items():
        report.metrics[name] = value
        if name in bounds:
            report.metrics[f"{name}_low"], report.metrics[f"{name}_high"] = bounds[name]
    low, high = bounds["accuracy"]
    wrong = int((~predictions.correct).sum())
    report.verdicts.append(
        f"Test accuracy {metrics['accuracy']:.4f} ({params.confidence_level:.0%} interval {low:.4f} to {high:.4f}), "
        f"{wrong:,} {plural(wrong, 'mistake')} in {len(predictions.labels):,} {report.words.many}."
    )
    rows: list[list[str | Cell]] = [
        [
            metric.title.format(k=min(params.top_k, len(classes))),
            f"{metrics[name]:.4f}",
            *(f"{bound:.4f}" for bound in bounds[name]),
            "Wilson" if metric.is_share else "bootstrap",
        ]
        for name, metric in METRICS.items()
    ]
    bound_titles = ("lower bound", "upper bound")
    heads = [Column("metric"), *(Column(title, number=True) for title in ("value", *bound_titles)), Column("interval")]
    found = {each.name: each for each in curves(predictions, classes)}
    classwise = [row | _areas(found.get(row["class"])) for row in per_class(predictions, classes)]
    if (~predictions.correct).any():
        report.verdicts.append(_weakest(classwise, predictions, classes, params))
    report.table("classes", classwise)
    report.table(
        "confusion",
        (
            {"actual": classes[actual], "predicted": classes[predicted]}
            for actual, predicted in zip(predictions.labels, predictions.predicted, strict=True)
        ),
    )
    bins = calibration(predictions, params.calibration_bins)
    report.table(
        "calibration",
        (vars(each) | dict(zip(("low", "high"), each.interval(params.confidence_level), strict=True)) for each in bins),
    )
    titles = ["precision", "recall", *bound_titles, "f1", "support", "ROC AUC", _AP]
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
    weights = mean_weights(evaluation.training.class_weight, evaluation.data.train, len(classes))
    class_caption = f"Metrics per class; recall with its {params.confidence_level:.0%} interval (Wilson)"
    if weights is not None:
        class_heads.append(Column("weight in the loss", number=True))
        for row, weight in zip(class_rows, weights.tolist(), strict=True):
            row.append(Cell(f"{weight:.4g}", weight))
        class_caption += f"; mean weight of the class's training {report.words.many} in the loss"
    error = metrics["expected_calibration_error"]
    report.sections.append(
        report.section(
            "quality",
            "Quality",
            "quality",
            metrics=table(f"Metrics with {params.confidence_level:.0%} intervals", heads, rows),
            resamples=params.resamples,
            classes=table(
                class_caption,
                class_heads,
                class_rows,
                sorted_by=0,
            ),
            confusion=report.plot(
                "confusion",
                draw_confusion(predictions, classes),
                f"Confusion matrix: number of {report.words.many} by actual and predicted class. More strongly "
                "coloured cells hold a larger share of the actual class.",
            ),
            calibration=report.plot(
                "calibration",
                draw_calibration(bins, error, params.confidence_level),
                "Reliability diagram: accuracy of the predictions in each confidence bin, with Wilson intervals. "
                "Below: number of predictions in each bin.",
            ),
            curves=report.plot(
                "curves",
                draw_curves(tuple(found.values())),
                "ROC and precision–recall curves of each class against all others. The legend lists at most ten "
                "classes, those with the lowest average precision.",
            ),
            mistakes=report.images(
                "mistakes",
                draw_mistakes(images, predictions, classes, params.mistakes, evaluation.kind),
                f"Misclassified {report.words.many} with the highest confidence.",
            ),
            mistakes_by_name=_mistakes(report, params, predictions, test, classes),
            least_certain=report.images(
                "least_certain",
                draw_least_certain(images, predictions, classes, params.mistakes, evaluation.kind),
                f"Correctly classified {report.words.many} with the lowest confidence.",
            ),
        )
    )


def _weakest(
    rows: Sequence[dict[str, Any]], predictions: Predictions, classes: tuple[str, ...], params: EvaluateParams
) -> str:
    """Return a sentence about the class with the lowest recall, and the class that it is most often mistaken for."""
    weakest = min((row for row in rows if row["support"]), key=lambda row: row["recall"])
    label = classes.index(weakest["class"])
    low, high = _recall_interval(weakest, params)
    taken = Counter(predictions.predicted[(predictions.labels == label) & ~predictions.correct].tolist())
    other, times = min(taken.items(), key=lambda item: (-item[1], item[0]))
    return (
        f"The weakest class is {weakest['class']}: recall {weakest['recall']:.4f} "
        f"({params.confidence_level:.0%} interval {low:.4f} to {high:.4f}, "
        f"n = {weakest['support']:,}), most often misclassified as {classes[other]} ({times:,})."
    )


def _mistakes(
    report: ReportBuilder, params: EvaluateParams, predictions: Predictions, test: Split, classes: tuple[str, ...]
) -> Markup:
    """Write all mistakes to a file, and return a table of the first ones, with the names of their images."""
    wrong = worst_first(predictions)
    if not wrong.size:
        return Markup()
    mistakes = [
        {
            "no.": place,
            "image": test.names[place] if test.names else f"test {place}",
            "actual": classes[predictions.labels[place]],
            "predicted": classes[predictions.predicted[place]],
            "probability": float(predictions.confidence[place]),
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
    one, many = report.words.one, report.words.many
    names = [one if name == "image" else name for name in mistakes[0]]
    heads = [Column(name, number=name in ("no.", "probability")) for name in names]
    caption = f"Files of the {many} above; mistakes.csv lists all {len(wrong):,} misclassified {many}"
    return table(caption, heads, rows, sortable=True)


def _recall_interval(row: dict[str, Any], params: EvaluateParams) -> tuple[float, float]:
    """Wilson interval of the recall of a class; (0, 0) for a class without images."""
    support = row["support"]
    return wilson_interval(round(row["recall"] * support), support, params.confidence_level) if support else (0.0, 0.0)


def _areas(found: Curves | None) -> dict[str, Any]:
    """Areas under the curves of a class; empty strings for a class without curves."""
    return {"ROC AUC": "", _AP: ""} if found is None else {"ROC AUC": found.roc_auc, _AP: found.average_precision}
