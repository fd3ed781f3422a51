"""One-line summary of a trial for the terminal."""

from pipeline.description.notation import in_words
from search.study.results import TrialResult


def line(result: TrialResult, objective: str = "val_accuracy") -> str:
    """Format a trial as one line, with its validation accuracy and, if it differs, its first objective.

    Args:
        result: The trial.
        objective: The first objective of the study.
    """
    accuracy = "      " if result.val_accuracy is None else f"{result.val_accuracy:.4f}"
    if objective != "val_accuracy":
        text = f"{objective} {result.objective(objective):.4f}" if result.history else ""
        accuracy += f"  {text:<{len(objective) + 7}}"
    size = f"{result.cost['params']:>9,} params" if result.cost else " " * 16
    what = "baseline: " if result.number == 0 else ""
    why = f" ({result.reason})" if result.reason and result.state != "pruned" else ""
    return f"trial {result.number:>3}  {result.state:<10}  {accuracy}  {size}  {what}{in_words(result.candidate)}{why}"
