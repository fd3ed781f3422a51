"""Whether the network should serve."""

from pipeline.pages.document import Section
from pipeline.pages.tables import Cell, Column, table
from pipeline.promotion.decision import Decision
from pipeline.registry.split_usage import SplitUsage
from pipeline.report.builder import Book
from pipeline.report.comparison import beside, in_words


def judge_candidacy(book: Book, decision: Decision, confidence: float) -> None:
    """Open the book with what `register` would decide now, and say why.

    Args:
        book: takes it.
        decision: on the network.
        confidence: level of the interval of the difference from the champion.
    """
    serves = decision.alias == "champion"
    outcome = "passes the gate" if serves else "does not become champion"
    book.verdicts.insert(0, f"It {outcome}: {decision.reason}.")
    content = ""
    if decision.verdicts:
        rows: list[list[str | Cell]] = [
            [each.rule, _figure(each.value), _figure(each.limit), "yes" if each.holds else Cell("no", kind="failed")]
            for each in decision.verdicts
        ]
        heads = [Column("rule"), Column("figure", number=True), Column("limit", number=True), Column("holds")]
        content += table("Rules of the gate, and their figures", heads, rows)
    if decision.rival is not None:
        rival = decision.rival
        book.metrics |= {
            "champion_difference": rival.comparison.difference,
            "champion_p_value": rival.comparison.p_value,
        }
        book.verdicts.append(in_words(rival.comparison, "champion", 1 - confidence))
        name = f"champion, version {rival.version}"
        content += "<h3>The present champion</h3>\n" + beside({name: (rival.accuracy, rival.comparison)}, confidence)
    reason = '<p class="note">What the stage register would decide, as the registry was at the time of this page.</p>\n'
    book.sections.insert(0, Section("candidacy", "Gate", content + reason))


def judge_usage(book: Book, usage: SplitUsage, accuracy: float, images: int) -> None:
    """Close the verdicts with how often the test split was used.

    Args:
        book: takes it.
        usage: of the test split.
        accuracy: of the network on it.
        images: of the split.
    """
    book.metrics |= {"split_networks": usage.networks, "split_decisions": usage.decisions}
    book.verdicts.append(usage.sentence(accuracy, images))


def _figure(value: float | None) -> str:
    return "no other champion" if value is None else f"{value:.6g}"
