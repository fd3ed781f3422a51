"""How much of its accuracy the network keeps when images go wrong."""

from collections.abc import Callable
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.judge.metrics import Answers
from pipeline.judge.robustness import endure, means, robustness
from pipeline.judge.robustness_pictures import draw_corruptions, draw_robustness
from pipeline.page.document import Section
from pipeline.page.tables import Cell, Column, table
from pipeline.params import EvaluateParams
from pipeline.report.book import Book


def judge_robustness(
    book: Book,
    params: EvaluateParams,
    seed: int,
    answer: Callable[[NDArray[np.float32]], NDArray[Any]],
    answers: Answers,
    images: NDArray[Any],
) -> None:
    """Write the accuracy under each corruption into the book.

    Args:
        book: takes it.
        params: how to judge.
        seed: of the corruptions.
        answer: from (n, *grid, channels) raw values to (n, classes) probabilities.
        answers: to the clean images.
        images: (n, *grid, channels), raw values.
    """
    clean = float(answers.correct.mean())
    hardships = endure(answer, images, answers.labels, params.robustness, seed)
    if not hardships:
        return
    kinds = {name: list(group) for name, group in groupby(hardships, lambda each: each.corruption)}
    mean = means(hardships)
    book.metrics["robustness"] = robustness(hardships, clean)
    book.metrics |= {f"accuracy_{name}": value for name, value in mean.items()}
    worst = min(mean, key=lambda name: (mean[name], name))
    book.verdicts.append(
        f"On corrupted images it keeps {book.metrics['robustness']:.0%} of that; {worst.replace('_', ' ')} hurts most "
        f"({mean[worst]:.4f} on average)."
    )
    book.table("robustness", (vars(each) for each in hardships))
    heads = [
        Column("corruption"),
        *(Column(f"severity {each.severity}", number=True) for each in next(iter(kinds.values()))),
    ]
    heads += [Column("mean", number=True), Column("from"), Column("to")]
    rows: list[list[str | Cell]] = [
        [
            name.replace("_", " "),
            *(Cell(f"{each.accuracy:.4f}", each.accuracy) for each in group),
            Cell(f"{mean[name]:.4f}", mean[name]),
            f"{group[0].amount:g}",
            f"{group[-1].amount:g} {group[0].unit}",
        ]
        for name, group in kinds.items()
    ]
    content = (
        table("Accuracy on corrupted test images", heads, rows, sorted_by=None)
        + book.plot(
            "robustness", draw_robustness(hardships, clean),
            "Accuracy over severity; dashed: on clean images.",
        )
        + book.images(
            "corruptions", draw_corruptions(images[0], images, list(kinds), seed),
            "The first test image, and what each corruption makes of it.",
        )
    )  # fmt: skip
    book.sections.append(Section("robustness", "Robustness", content))
