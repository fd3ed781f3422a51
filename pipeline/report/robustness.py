"""Report how much of its lead over chance the network keeps on corrupted images."""

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
from markupsafe import Markup

from pipeline.data.dataset import Kind
from pipeline.data.kind import KindWords
from pipeline.evaluation.evaluation import Evaluation
from pipeline.evaluation.metrics import Predictions, chance, wilson_interval
from pipeline.evaluation.robustness import (
    CorruptionResult,
    in_words,
    means,
    recall_by_class,
    robustness,
    robustness_interval,
)
from pipeline.pages.tables import Cell, Column, table
from pipeline.plots.robustness import draw_corruptions, draw_robustness
from pipeline.report.builder import ReportBuilder


def add_robustness_section(report: ReportBuilder, evaluation: Evaluation) -> None:
    """Add the accuracy under each corruption to the report.

    Args:
        report: Report to extend.
        evaluation: The network, the data and the settings.
    """
    params, seed = evaluation.params, evaluation.seed
    predictions, images = evaluation.predictions, evaluation.test.images
    corruption_results = evaluation.corruption_results
    if not corruption_results:
        return
    predictions = predictions.of(corruption_results[0].places)
    corrupted = len(predictions.labels)
    sample = f", a random sample of {corrupted:,} of {len(images):,}" if corrupted < len(images) else ""
    clean = float(predictions.correct.mean())
    kinds = {name: list(group) for name, group in groupby(corruption_results, lambda each: each.corruption)}
    mean = means(corruption_results)
    guessed = chance(predictions.labels)
    clean_low, _ = wilson_interval(int(predictions.correct.sum()), len(predictions.labels), params.confidence_level)
    kept = robustness(corruption_results, clean, clean_low, guessed)
    with_interval = ""
    if kept is not None:
        low, high = robustness_interval(
            corruption_results, predictions.correct, guessed, params.confidence_level, params.resamples, seed
        )
        report.metrics |= {"robustness": kept, "robustness_low": low, "robustness_high": high}
        with_interval = f"{kept:.0%} ({params.confidence_level:.0%} interval {low:.0%} to {high:.0%})"
    report.metrics |= {f"accuracy_{name}": value for name, value in mean.items()}
    report.verdicts.append(in_a_sentence(with_interval, clean, guessed, mean, report.words.many))
    report.table(
        "robustness",
        (
            {name: getattr(each, name) for name in ("corruption", "severity", "amount", "unit", "accuracy", "images")}
            | dict(zip(("low", "high"), each.interval(params.confidence_level), strict=True))
            for each in corruption_results
        ),
    )
    heads = [
        Column("corruption"),
        *(Column(f"severity {each.severity}", number=True) for each in next(iter(kinds.values()))),
    ]
    heads += [Column("mean", number=True), Column("amounts")]
    rows: list[list[str | Cell]] = [
        [
            name.replace("_", " "),
            *(Cell(f"{each.accuracy:.4f}", each.accuracy) for each in group),
            Cell(f"{mean[name]:.4f}", mean[name]),
            f"{group[0].amount:g} to {group[-1].amount:g} {group[0].unit}".replace(" ", "\u00a0"),
        ]
        for name, group in kinds.items()
    ]
    report.sections.append(
        report.section(
            "robustness",
            "Robustness",
            "robustness",
            accuracies=table(f"Accuracy on corrupted test {report.words.many}{sample}", heads, rows, sorted_by=None),
            curves=report.plot(
                "robustness",
                draw_robustness(corruption_results, clean, params.confidence_level),
                f"Accuracy by severity, with {params.confidence_level:.0%} interval (Wilson). "
                f"Dashed: clean {report.words.many}.",
            ),
            examples=report.images(
                "corruptions",
                draw_corruptions(images[0], images, list(kinds), seed, evaluation.kind),
                _caption(evaluation.kind, report.words),
            ),
            classes=_of_classes(corruption_results, predictions, evaluation.classes, report.words.many),
        )
    )


def _of_classes(
    corruption_results: Sequence[CorruptionResult], predictions: Predictions, classes: tuple[str, ...], many: str
) -> Markup:
    """Table of each class's recall on clean samples, on corrupted samples, and under the worst corruption."""
    clean = recall_by_class(predictions.correct, predictions.labels)
    kinds = list(dict.fromkeys(each.corruption for each in corruption_results))
    recalls = np.array(
        [
            np.mean(
                [recall_by_class(e.correct, predictions.labels) for e in corruption_results if e.corruption == kind],
                axis=0,
            )
            for kind in kinds
        ]
    )
    rows: list[list[str | Cell]] = []
    for label in np.unique(predictions.labels):
        mean, worst = float(recalls[:, label].mean()), int(recalls[:, label].argmin())
        lowest = float(recalls[worst, label])
        figures = (Cell(f"{value:.4f}", value) for value in (clean[label], mean))
        count = int((predictions.labels == label).sum())
        number = Cell(f"{count:,}", count)
        rows.append([classes[label], number, *figures, Cell(f"{lowest:.4f}", lowest), in_words(kinds[worst])])
    titles = (many, f"recall, clean {many}", f"recall, corrupted {many}", "recall, worst corruption")
    heads = [Column("class"), *(Column(title, number=True) for title in titles)]
    return table(f"Recall of each class on corrupted {many}", [*heads, Column("worst corruption")], rows, sortable=True)


def _caption(kind: Kind, words: KindWords) -> str:
    """Caption of the examples of the corruptions."""
    shown = (
        f"The first test {words.one} (left), and the same {words.one} after each corruption with increasing severity."
    )
    if kind in ("series", "audio"):
        return f"{shown} Time shift and stretch repeat the values at the edge where no original values are available."
    return (
        f"{shown} A shift by a fraction of a {words.positions[:-1]} also blurs the {words.one}. Shift, shrink, "
        f"rotation and elastic repeat the edge {words.positions} where no original {words.positions} are available. If "
        "one class is another one rotated, such as 6 and 9, a strong rotation changes the correct class."
    )


def in_a_sentence(kept: str, clean: float, guessed: float, mean: Mapping[str, float], many: str = "images") -> str:
    """Describe the robustness of the network in a sentence or two.

    Args:
        kept: Robustness with its interval; empty: undefined.
        clean: Accuracy on clean images.
        guessed: Accuracy of always predicting the most frequent class.
        mean: Mean accuracy under each corruption.
        many: The samples in words.
    """
    if not kept:
        return (
            f"The robustness is undefined: the accuracy of {clean:.4f} on clean {many} is not significantly above "
            f"{guessed:.4f}, the accuracy of always predicting the most frequent class."
        )
    worst = min(mean, key=lambda name: (mean[name], name))
    return (
        f"On corrupted {many}, the network keeps {kept} of its lead over chance ({guessed:.4f}). The worst corruption "
        f"is {in_words(worst)}, with a mean accuracy of {mean[worst]:.4f}."
    )
