"""The sections of the evaluation page, in order."""

from collections.abc import Callable, Iterator

from pipeline.evaluation.evaluation import Evaluation
from pipeline.report.builder import ReportBuilder
from pipeline.report.comparison import add_comparison_section
from pipeline.report.cost import add_size_section
from pipeline.report.interpretation import add_interpretation_section
from pipeline.report.listening import add_listening_section
from pipeline.report.ood import add_ood_section
from pipeline.report.pixel_permutation import add_pixel_permutation_section
from pipeline.report.quality import add_quality_section
from pipeline.report.robustness import add_robustness_section
from pipeline.report.whole_files import add_whole_files_section

# The sections, by the names that the progress line shows. Each function extends the report.
SECTIONS: dict[str, Callable[[ReportBuilder, Evaluation], None]] = {
    "quality": add_quality_section,
    "whole files": add_whole_files_section,
    "recordings": add_listening_section,
    "comparison": add_comparison_section,
    "robustness": add_robustness_section,
    "out-of-distribution detection": add_ood_section,
    "pixel permutation test": add_pixel_permutation_section,
    "interpretation": add_interpretation_section,
    "size": add_size_section,
}
# All parts of the evaluation, including those whose results differ between runs.
PARTS = (*SECTIONS, "speed", "promotion")


def add_sections(report: ReportBuilder, evaluation: Evaluation, parts: Iterator[str]) -> None:
    """Add all sections whose results are the same in each run.

    Args:
        report: Report to extend.
        evaluation: The network, the data and the settings.
        parts: Progress over PARTS.
    """
    for add in SECTIONS.values():
        next(parts)
        add(report, evaluation)
