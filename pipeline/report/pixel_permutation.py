"""Whether the input is an image at all."""

from pipeline.evaluation.pixel_permutation import RELEVANT, PixelPermutationResult
from pipeline.pages.tables import Cell, Column, table
from pipeline.report.builder import ReportBuilder

_TOLD = {
    "pays": "Yes: neighbouring positions belong together, and the network is better for it.",
    "nothing": f"Rather not: neighbouring positions are worth less than {RELEVANT:.0%} of accuracy, if anything.",
    "unknown": (
        "Not known: the two trainings learned too little, or the validation images are too few, to tell whether "
        "neighbouring positions belong together."
    ),
}


def add_pixel_permutation_section(report: ReportBuilder, result: PixelPermutationResult, confidence: float) -> None:
    """Write into the report what the arrangement of positions is worth, and warn where it is worth nothing.

    Args:
        report: takes it.
        result: from `pipeline.evaluation.pixel_permutation`.
        confidence: level of the interval.
    """
    found = result.comparison
    report.metrics["pixel_permutation_drop"] = found.difference
    if result.verdict == "nothing":
        report.verdicts.append(
            f"Warning: the arrangement of positions is worth next to nothing ({found.difference:+.4f} in accuracy); "
            "a network without convolutions may do as well."
        )
    rows: list[list[str | Cell]] = [
        ["as they are", f"{result.arranged:.4f}"],
        ["permuted, all alike", f"{result.permuted:.4f}"],
        ["difference", f"{found.difference:+.4f}"],
        [f"{confidence:.0%} interval", f"{found.low:+.4f} to {found.high:+.4f}"],
    ]
    report.sections.append(
        report.section(
            "arrangement",
            "Is it an image?",
            "pixel_permutation",
            verdict=_TOLD[result.verdict],
            accuracies=table("Positions of the input", [Column("positions"), Column("accuracy", number=True)], rows),
            result=result,
        )
    )
