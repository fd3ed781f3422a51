"""Statistical uncertainty of a study's ranking, given the number of validation samples."""

from collections.abc import Sequence

from pipeline.data.kind import KINDS, KindWords
from pipeline.errors import plural
from pipeline.evaluation.metrics import wilson_interval
from search.study.results import TrialResult

CONFIDENCE = 0.95
COARSE = 100  # with fewer validation images, a single image changes the accuracy by more than 1%


def tied_trials(results: Sequence[TrialResult], best: TrialResult, images: int) -> tuple[TrialResult, ...]:
    """Return the completed trials whose validation accuracy does not differ significantly from the best trial's.

    Two trials are tied if the confidence interval of the difference contains 0. Source of the interval: Newcombe
    (1998), "Interval estimation for the difference between independent proportions: comparison of eleven methods",
    method 10. A study does not store predictions, so the errors of two trials are treated as independent. In fact most
    errors are shared, which would make the interval narrower: a trial that differs here also differs in a paired test,
    but a paired test would separate some of the tied trials. Each interval has the confidence level 1 - 0.05 / k for k
    trials in addition to the best one (Bonferroni correction), because the best trial was selected from many.

    Args:
        results: All trials of the study. Reused trials are skipped, because they are not separate candidates.
        best: The winning trial. It is not part of the result.
        images: Number of images in the validation split.
    """
    others = [each for each in results if each.state == "complete" and each.number != best.number]
    level = 1 - (1 - CONFIDENCE) / max(1, len(others))
    return tuple(each for each in others if _holds_zero(_hits(best, images), _hits(each, images), images, level))


def uncertainty_in_words(
    results: Sequence[TrialResult],
    best: TrialResult,
    objective: str,
    images: int,
    words: KindWords = KINDS["image"],
) -> tuple[str, ...]:
    """Describe the uncertainty of the ranking in sentences.

    Args:
        results: All trials of the study.
        best: The winning trial.
        objective: The first objective of the study, by which the trials are ranked.
        images: Number of samples in the validation split.
        words: What readers call the samples.
    """
    low, high = wilson_interval(_hits(best, images), images, CONFIDENCE)
    sentences = [
        f"Trial {best.number} classifies {_accuracy(best):.2%} of {images:,} validation {words.many} correctly "
        f"({CONFIDENCE:.0%} interval {low:.2%} to {high:.2%})."
    ]
    complete = sum(each.state == "complete" for each in results)
    if complete > 1 and not best.finals:  # otherwise the mean over other seeds decided, and says what to expect
        sentences[0] += (
            f" It was selected from {complete} trials on these {words.many}, so expect a lower accuracy on others."
        )
    same = tied_trials(results, best, images)
    if same:
        numbers = [str(each.number) for each in same]
        listed = " and ".join(filter(None, (", ".join(numbers[:-1]), numbers[-1])))
        trials = f"{plural(len(same), 'trial')} {listed}"
        differ = "do" if len(same) > 1 else "does"
        sentences.append(f"On these {words.many}, {trials} {differ} not differ significantly from it in accuracy.")
        if objective != "val_accuracy":
            sentences.append(f"The trials are ranked by {objective}. The uncertainty of this ranking is unknown.")
    if images < COARSE:
        sentences.append(
            f"One validation {words.one} changes the accuracy by {1 / images:.1%}, so smaller differences are "
            f"meaningless. Increase data.val_fraction, or add more {words.many}."
        )
    return tuple(sentences)


def _holds_zero(one: int, other: int, n: int, confidence: float) -> bool:
    """Return whether Newcombe's interval for the difference between `one / n` and `other / n` contains 0."""
    upper, lower = max(one, other), min(one, other)
    low_of_upper, _ = wilson_interval(upper, n, confidence)
    _, high_of_lower = wilson_interval(lower, n, confidence)
    reach = ((upper / n - low_of_upper) ** 2 + (high_of_lower - lower / n) ** 2) ** 0.5
    return bool((upper - lower) / n <= reach)


def _hits(result: TrialResult, images: int) -> int:
    return round(_accuracy(result) * images)


def _accuracy(result: TrialResult) -> float:
    return result.val_accuracy or 0.0
