"""Report whether the network would become champion."""

from pipeline.pages.tables import Cell, Column, table
from pipeline.promotion.decision import Decision
from pipeline.registry.split_usage import SplitUsage
from pipeline.report.builder import ReportBuilder
from pipeline.report.comparison import comparison_table, in_words


def add_promotion_section(report: ReportBuilder, decision: Decision, confidence: float) -> None:
    """Put the decision that `register` would make now at the top of the report, with its reason.

    Args:
        report: Report to extend.
        decision: Decision about the network.
        confidence: Level of the interval of the difference from the champion.
    """
    report.verdicts.insert(0, f"The network {decision.outcome}: {decision.reason}.")
    rules = champion = None
    if decision.verdicts:
        rows: list[list[str | Cell]] = [
            [each.rule, each.value_text, each.limit_text, "yes" if each.holds else Cell("no", kind="failed")]
            for each in decision.verdicts
        ]
        heads = [Column("rule"), Column("value", number=True), Column("limit", number=True), Column("satisfied")]
        rules = table("Rules", heads, rows)
    if decision.champion_comparison is not None:
        champion_comparison = decision.champion_comparison
        report.metrics |= {
            "champion_difference": champion_comparison.comparison.difference,
            "champion_p_value": champion_comparison.comparison.p_value,
        }
        report.verdicts.append(in_words(champion_comparison.comparison, "champion", 1 - confidence, report.words))
        name = f"champion, version {champion_comparison.version}"
        champion = comparison_table({name: (champion_comparison.accuracy, champion_comparison.comparison)}, confidence)
    report.sections.insert(0, report.section("promotion", "Gate", "promotion", rules=rules, champion=champion))


def add_split_usage(report: ReportBuilder, usage: SplitUsage, accuracy: float, images: int) -> None:
    """Add to the verdicts how often the test split was used.

    Args:
        report: Report to extend.
        usage: Usage of the test split.
        accuracy: Accuracy of the network on the split.
        images: Number of images in the split.
    """
    report.metrics |= {"networks_compared": usage.networks, "promotion_decisions": usage.decisions}
    report.verdicts.append(usage.sentence(accuracy, images))
