"""Write the page about a prepared dataset."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.checks.findings import Finding
from pipeline.checks.measurements import Measurements
from pipeline.data.kind import KINDS
from pipeline.data_report.content import add_class_section, add_content_section, add_file_section
from pipeline.data_report.distribution import add_distribution_section, add_grid_section, add_group_section
from pipeline.data_report.duplicates import add_duplicate_section
from pipeline.data_report.pictures import Samples
from pipeline.data_report.summary import add_finding_section, verdict
from pipeline.pages.document import document
from pipeline.report.builder import ReportBuilder

PAGE = "index.html"


def write_page(
    name: str,
    measured: Measurements,
    found: Sequence[Finding],
    samples: Samples,
    folder: Path,
) -> None:
    """Write index.html and its pictures.

    Args:
        name: Name of the dataset.
        measured: Results of the checks.
        found: The findings.
        samples: The samples, and how they are drawn.
        folder: Folder to write to.
    """
    report = ReportBuilder(folder, words=KINDS[samples.kind])
    add_finding_section(report, measured, found)
    add_class_section(report, measured)
    add_content_section(report, measured, samples)
    add_file_section(report, measured)
    add_duplicate_section(report, measured, samples)
    add_group_section(report, measured)
    add_distribution_section(report, measured, samples)
    add_grid_section(report, measured)
    files = ", files.csv" if measured.facts.files else ""
    footer = f"Complete lists next to this page: metrics.json, details.json, duplicates.csv, outliers.csv{files}."
    page = document(f"{name}: checks of the data", verdict(measured, found), report.sections, footer)
    (folder / PAGE).write_text(page, encoding="utf-8")
