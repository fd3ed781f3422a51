"""The network against others on the same test images."""

from collections.abc import Mapping

from markupsafe import Markup

from pipeline.evaluation.choice import Choice, Role
from pipeline.evaluation.comparison import Comparison, compare
from pipeline.evaluation.metrics import Predictions
from pipeline.pages.tables import Cell, Column, table
from pipeline.pages.templates import render
from pipeline.params import EvaluateParams
from pipeline.report.builder import TEMPLATES, ReportBuilder

_SHORT: dict[Role, str] = {"winner": "study's winner", "baseline": "baseline"}


def add_comparison_section(
    report: ReportBuilder, params: EvaluateParams, answers: Predictions, choice: Choice, runner_up: Predictions | None
) -> None:
    """Write the choice on the validation split, and the comparison with the runner-up, into the report.

    Args:
        report: takes it.
        params: how to judge.
        answers: of the network.
        choice: of the network.
        runner_up: its answers to the same images; None: there is none.
    """
    paired = None
    difference, p_value = 0.0, 1.0  # of the baseline from itself
    if runner_up is not None and choice.runner_up is not None:
        name, comparison = (
            _SHORT[choice.runner_up],
            compare(answers.correct, runner_up.correct, params.confidence_level),
        )
        if choice.runner_up == "baseline":
            difference, p_value = comparison.difference, comparison.p_value
        report.verdicts.append(in_words(comparison, name, 1 - params.confidence_level))
        paired = beside({name: (float(runner_up.correct.mean()), comparison)}, params.confidence_level)
    else:
        report.verdicts.append(_capital(choice.sentences[0]) + ".")
    if choice.chosen == "baseline" or choice.runner_up == "baseline":
        report.metrics |= {"baseline_difference": difference, "baseline_p_value": p_value}
    sentences = [_capital(sentence) for sentence in choice.sentences]
    report.sections.append(
        report.section("comparison", "Comparison", "comparison", sentences=sentences, paired=paired or "")
    )


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def beside(found: Mapping[str, tuple[float, Comparison]], confidence: float) -> Markup:
    """A table of comparisons, as HTML.

    Args:
        found: the accuracy of another network, and the comparison with it, by its name.
        confidence: level of the intervals.
    """
    heads = [Column("against"), *(Column(title, number=True) for title in ("its accuracy", "difference", "from", "to"))]
    heads += [Column(title, number=True) for title in ("only this one right", "only the other right", "p-value")]
    rows: list[list[str | Cell]] = [
        [
            name,
            f"{accuracy:.4f}",
            *(f"{value:+.4f}" for value in (each.difference, each.low, each.high)),
            f"{each.only_first:,}",
            f"{each.only_second:,}",
            f"{each.p_value:.3g}",
        ]
        for name, (accuracy, each) in found.items()
    ]
    return render(
        TEMPLATES / "paired_comparison.html", differences=table("Paired comparison", heads, rows), confidence=confidence
    )


def in_words(comparison: Comparison, name: str, level: float) -> str:
    """A comparison in a sentence.

    Args:
        comparison: of the network with another one.
        name: of the other one.
        level: a p-value below it shows a difference.
    """
    if comparison.only_first == comparison.only_second == 0:
        return f"It answers every image just as the {name} does, as far as right and wrong go."
    if comparison.difference == 0:
        return f"It and the {name} each get {comparison.only_first:,} images right that the other gets wrong."
    doubt = "" if comparison.p_value < level else ", not significant"
    better = "better" if comparison.difference > 0 else "worse"
    return f"It is {abs(comparison.difference):.4f} {better} than the {name} (p = {comparison.p_value:.3g}{doubt})."
