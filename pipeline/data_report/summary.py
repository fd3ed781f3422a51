"""Report the findings."""

from collections.abc import Sequence
from typing import get_args

from pipeline.checks.findings import Finding
from pipeline.checks.measurements import Measurements
from pipeline.data_report.section import section
from pipeline.errors import plural
from pipeline.pages.tables import Cell, Column, table
from pipeline.report.builder import ReportBuilder
from pipeline.sections.data import FindingId

_NOT_APPLICABLE = {
    "unreadable": "files", "mixed_modes": "files", "resized": "files", "group_leakage": "groups",
    "not_a_grid": "neighbours",
}  # fmt: skip


def verdict(measured: Measurements, found: Sequence[Finding]) -> str:
    """Return the sentences at the top of the page."""
    counts = ", ".join(f"{split} {of_class.sum():,}" for split, of_class in measured.counts().items())
    size = f"{len(measured.labels):,} samples of {len(measured.facts.classes):,} classes: {counts}."
    if not found:
        return f"{size} The checks found nothing."
    return f"{size} {len(found)} {plural(len(found), 'finding')}: {', '.join(each.id for each in found)}."


def add_finding_section(report: ReportBuilder, measured: Measurements, found: Sequence[Finding]) -> None:
    """Add a table with a row for each check.

    Args:
        report: Report to extend.
        measured: Results of the checks.
        found: The findings.
    """
    by_id = {finding.id: finding for finding in found}
    missing = {
        "files": measured.facts.files is None,
        "groups": not any(len(groups) for groups in measured.facts.groups.values()),
        "neighbours": measured.collected.neighbours is None,
    }
    rows: list[list[str | Cell]] = []
    for name in get_args(FindingId):
        if name in by_id:
            finding = by_id[name]
            count = Cell(f"{finding.count:,}", finding.count, kind="failed")
            rows.append([name, count, _words(finding.summary)])
        elif missing.get(_NOT_APPLICABLE.get(name, ""), False):
            rows.append([name, Cell("–", -1), _words(f"not measured: there are no {_NOT_APPLICABLE[name]}")])
        else:
            rows.append([name, Cell("0", 0), _words("nothing found")])
    columns = [Column("check"), Column("count", number=True), Column("what")]
    report.sections.append(section("findings", "Findings", "findings", table=table("All checks", columns, rows)))


def _words(text: str) -> Cell:
    return Cell(text[0].upper() + text[1:], kind="words")
