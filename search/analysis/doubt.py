"""What a few validation images can tell about the ranking of a study, and what they cannot."""

from collections.abc import Sequence

from pipeline.evaluation.metrics import wilson_interval
from search.study.results import TrialResult

CONFIDENCE = 0.95
COARSE = 100  # below so many validation images, one of them is worth more than a percent


def equals(results: Sequence[TrialResult], best: TrialResult, images: int) -> tuple[TrialResult, ...]:
    """The completed trials whose validation accuracy cannot be told from the best one's, the best one apart.

    A trial is an equal if the interval of the difference holds 0: Newcombe's (1998), "Interval estimation for the
    difference between independent proportions: comparison of eleven methods", method 10. A study keeps no predictions,
    so the trials' mistakes count as independent. They are mostly shared, which would make the interval narrower: a
    trial that is no equal here is none by a paired test either, but some equals would turn out different. Each interval
    has the level 1 - 0.05 / k for k trials beside the best one (Bonferroni), since the best of many was picked
    afterwards.

    Args:
        results: of all trials; reused ones are left out, since they are no further candidates.
        best: the winner.
        images: in the validation split.
    """
    others = [each for each in results if each.state == "complete" and each.number != best.number]
    level = 1 - (1 - CONFIDENCE) / max(1, len(others))
    return tuple(each for each in others if _holds_zero(_hits(best, images), _hits(each, images), images, level))


def uncertainty_in_words(
    results: Sequence[TrialResult], best: TrialResult, objective: str, images: int
) -> tuple[str, ...]:
    """What the reader has to know about the ranking, in sentences.

    Args:
        results: of all trials.
        best: the winner.
        objective: the study's first one, by which the trials are ranked.
        images: in the validation split.
    """
    low, high = wilson_interval(_hits(best, images), images, CONFIDENCE)
    sentences = [
        f"Trial {best.number} classifies {_accuracy(best):.2%} of {images:,} validation images correctly "
        f"({CONFIDENCE:.0%} interval {low:.2%} to {high:.2%})."
    ]
    complete = sum(each.state == "complete" for each in results)
    if complete > 1:
        sentences[0] += f" It was chosen among {complete} on these images, so expect less on others."
    same = equals(results, best, images)
    if same:
        numbers = [str(each.number) for each in same]
        listed = " and ".join(filter(None, (", ".join(numbers[:-1]), numbers[-1])))
        trials = f"trial{'s' * (len(same) > 1)} {listed}"
        differ = "do" if len(same) > 1 else "does"
        sentences.append(f"On these images {trials} {differ} not differ from it significantly in accuracy.")
        if objective != "val_accuracy":
            sentences.append(f"The order is that of {objective}; how certain it is, is not known.")
    if images < COARSE:
        sentences.append(
            f"One validation image is worth {1 / images:.1%} of accuracy: smaller differences mean nothing. Raise "
            "data.val_fraction, or get more images."
        )
    return tuple(sentences)


def _holds_zero(one: int, other: int, n: int, confidence: float) -> bool:
    """Whether Newcombe's interval of the difference of two shares, of so many hits in n each, holds 0."""
    upper, lower = max(one, other), min(one, other)
    low_of_upper, _ = wilson_interval(upper, n, confidence)
    _, high_of_lower = wilson_interval(lower, n, confidence)
    reach = ((upper / n - low_of_upper) ** 2 + (high_of_lower - lower / n) ** 2) ** 0.5
    return bool((upper - lower) / n <= reach)


def _hits(result: TrialResult, images: int) -> int:
    return round(_accuracy(result) * images)


def _accuracy(result: TrialResult) -> float:
    return result.val_accuracy or 0.0
