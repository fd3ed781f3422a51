"""Report whether the network benefits from the arrangement of the pixels."""

from pipeline.evaluation.evaluation import Evaluation
from pipeline.evaluation.pixel_permutation import RELEVANT, PixelPermutationResult
from pipeline.pages.tables import Cell, Column, table
from pipeline.report.builder import ReportBuilder

_VERDICTS = {
    "benefit": "The network benefits from the arrangement of the {positions}: permuting them lowers its accuracy.",
    "no_benefit": (
        "The network does not benefit from the arrangement of the {positions}: permuting them lowers its accuracy by "
        f"less than {RELEVANT:g}, if at all."
    ),
    "inconclusive": "Inconclusive: the two networks learned too little, or there are too few validation {many}.",
}


def add_pixel_permutation_section(report: ReportBuilder, evaluation: Evaluation) -> None:
    """Add the result of the pixel permutation test to the report.

    Args:
        report: Report to extend.
        evaluation: The network, the data and the settings.
    """
    add_pixel_permutation_result(report, evaluation.pixel_permutation, evaluation.params.confidence_level)


def add_pixel_permutation_result(report: ReportBuilder, result: PixelPermutationResult, confidence: float) -> None:
    """Add the result of the pixel permutation test to the report, with a warning if there is no accuracy drop.

    Args:
        report: Report to extend.
        result: Result from `pipeline.evaluation.pixel_permutation`.
        confidence: Level of the interval.
    """
    found, words = result.comparison, report.words
    report.metrics["pixel_permutation_drop"] = found.difference
    if result.verdict == "no_benefit":
        report.verdicts.append(
            f"Warning: the arrangement of the {words.positions} hardly affects the accuracy ({found.difference:+.4f}); "
            "a network without convolutions may perform as well."
        )
    rows: list[list[str | Cell]] = [
        ["original", f"{result.arranged:.4f}"],
        [f"permuted, all {words.many} in the same order", f"{result.permuted:.4f}"],
        ["difference", f"{found.difference:+.4f}"],
        [f"{confidence:.0%} interval of the difference", f"{found.low:+.4f} to {found.high:+.4f}"],
    ]
    report.sections.append(
        report.section(
            "pixel_permutation",
            "Pixel permutation test" if words.positions == "pixels" else "Permutation test",
            "pixel_permutation",
            verdict=_VERDICTS[result.verdict].format(positions=words.positions, many=words.many),
            accuracies=table(
                f"Accuracy on original and on permuted {words.many}",
                [Column(words.positions), Column("accuracy", number=True)],
                rows,
            ),
            result=result,
        )
    )
