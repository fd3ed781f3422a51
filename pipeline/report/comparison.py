"""Compare the network with others on the same test images."""

from collections.abc import Mapping

from markupsafe import Markup

from pipeline.data.kind import KINDS, KindWords
from pipeline.evaluation.choice import Role
from pipeline.evaluation.comparison import Comparison, compare
from pipeline.evaluation.evaluation import Evaluation
from pipeline.evaluation.whole_files import whole_file_predictions
from pipeline.pages.tables import Cell, Column, table
from pipeline.pages.templates import render
from pipeline.report.builder import TEMPLATES, ReportBuilder

_SHORT: dict[Role, str] = {"winner": "study's winner", "baseline": "baseline"}


def add_comparison_section(report: ReportBuilder, evaluation: Evaluation) -> None:
    """Add the selection on the validation split, and the comparison with the runner-up, to the report.

    Args:
        report: Report to extend.
        evaluation: The network, the data and the settings.
    """
    params, choice, runner_up = evaluation.params, evaluation.choice, evaluation.runner_up_predictions
    paired = None
    difference, p_value = 0.0, 1.0  # of the baseline compared with itself
    if runner_up is not None and choice.runner_up is not None:
        name = _SHORT[choice.runner_up]
        own, other = (
            whole_file_predictions(each, evaluation.kind, evaluation.test.names)
            for each in (evaluation.predictions, runner_up)
        )
        comparison = compare(own.correct, other.correct, params.confidence_level)
        if choice.runner_up == "baseline":
            difference, p_value = comparison.difference, comparison.p_value
        report.verdicts.append(in_words(comparison, name, 1 - params.confidence_level, report.words))
        paired = comparison_table({name: (float(other.correct.mean()), comparison)}, params.confidence_level)
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


def comparison_table(found: Mapping[str, tuple[float, Comparison]], confidence: float) -> Markup:
    """Render a table of comparisons as HTML.

    Args:
        found: Accuracy of each other network, and the comparison with it, by the name of the network.
        confidence: Level of the intervals.
    """
    titles = ("its accuracy", "difference", "lower bound", "upper bound")
    heads = [Column("compared with"), *(Column(title, number=True) for title in titles)]
    heads += [Column(title, number=True) for title in ("only this one correct", "only the other correct", "p-value")]
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
        TEMPLATES / "paired_comparison.html",
        differences=table("Paired comparison on the test split", heads, rows),
        confidence=confidence,
    )


def in_words(comparison: Comparison, name: str, level: float, words: KindWords = KINDS["image"]) -> str:
    """Describe a comparison in a sentence.

    Args:
        comparison: Comparison of the network with another one.
        name: Name of the other network.
        level: Significance level of the p-value.
        words: Words for the samples.
    """
    if comparison.only_first == comparison.only_second == 0:
        return f"The network and the {name} classify exactly the same {words.many} correctly."
    if comparison.difference == 0:
        return (
            f"The network has the same accuracy as the {name}; each correctly classifies {comparison.only_first:,} "
            f"{words.one if comparison.only_first == 1 else words.many} that the other misclassifies."
        )
    uncertainty = "" if comparison.p_value < level else ", not significant"
    direction = "higher" if comparison.difference > 0 else "lower"
    return (
        f"The network's accuracy is {abs(comparison.difference):.4f} {direction} than that of the {name} "
        f"(p = {comparison.p_value:.3g}{uncertainty})."
    )
