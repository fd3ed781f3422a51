"""Report the quality of the predictions for whole series and recordings."""

from pipeline.errors import plural
from pipeline.evaluation.evaluation import Evaluation
from pipeline.evaluation.metrics import chance, wilson_interval
from pipeline.evaluation.whole_files import whole_file_predictions
from pipeline.report.builder import ReportBuilder


def add_whole_files_section(report: ReportBuilder, evaluation: Evaluation) -> None:
    """Add the accuracy for whole series or recordings. Nothing is added if each of them is one sample.

    Args:
        report: Report to extend.
        evaluation: The network, the data and the settings.
    """
    windows = evaluation.predictions
    whole = whole_file_predictions(windows, evaluation.kind, evaluation.test.names)
    if whole is windows:
        return
    count, correct = len(whole.labels), int(whole.correct.sum())
    level, wrong = evaluation.params.confidence_level, count - correct
    groups = len(set(evaluation.test.groups))
    low, high = wilson_interval(correct, count, level)
    report.metrics |= {
        "whole_file_accuracy": correct / count, "whole_file_accuracy_low": low, "whole_file_accuracy_high": high,
        "whole_file_chance": chance(whole.labels),
    }  # fmt: skip
    report.verdicts.append(
        f"With the predictions averaged over the parts of each {report.words.one}, as predict does: accuracy "
        f"{correct / count:.4f} ({level:.0%} interval {low:.4f} to {high:.4f}), {wrong:,} {plural(wrong, 'mistake')} "
        f"in {count:,} whole {report.words.many}."
    )
    report.sections.append(
        report.section(
            "whole", f"Whole {report.words.many}", "whole_files",
            count=count, parts=len(windows.labels), accuracy=correct / count, low=low, high=high, level=level,
            groups=groups if groups < count else 0,  # else each file is a group of its own
        )
    )  # fmt: skip
