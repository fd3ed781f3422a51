"""What the finalists of a study show: the spread over seeds, and how lucky the best trial was."""

from collections.abc import Iterator, Sequence
from statistics import fmean

from pipeline.data.kind import KINDS, KindWords
from pipeline.errors import plural
from pipeline.params import SearchParams
from search.study.results import BASELINE, TrialResult, direction, ranked


def finalists(results: Sequence[TrialResult], objective: str) -> list[TrialResult]:
    """Return the finalists, best mean first."""
    sign = -1.0 if direction(objective) == "maximize" else 1.0
    return sorted(
        (each for each in ranked(results, objective) if each.finals), key=lambda each: sign * each.decisive(objective)
    )


def optimism(results: Sequence[TrialResult], objective: str) -> float | None:
    """Return by how much the best trial's own value is better than the mean of its further training runs.

    None if there are no finalists, or if one of them diverged. It is negative if they did better.
    """
    found = [each for each in ranked(results, objective) if each.finals]
    if not found or found[0].diverged:
        return None
    sign = 1.0 if direction(objective) == "maximize" else -1.0
    return sign * (found[0].objective(objective) - found[0].decisive(objective))


def finalists_in_words(
    results: Sequence[TrialResult], best: TrialResult, settings: SearchParams, words: KindWords = KINDS["image"]
) -> Iterator[str]:
    """Describe the decision between the finalists in sentences. There are none without finalists.

    Args:
        results: All trials of the study.
        best: The winning trial.
        settings: The section `search` of params.yaml.
        words: What readers call the samples.
    """
    objective = settings.objectives[0]
    found = finalists(results, objective)
    if not found:
        return
    seeds, folds = len(best.finals), settings.finalists.cross_validation
    times = f"{seeds} more {plural(seeds, 'time')}"
    how = "with other seeds and on other folds" if folds else "with other seeds"
    yield f"{len(found)} finalists were trained {times}, {how}."
    for each in found:
        if each.diverged:
            yield f"Trial {each.number} diverged in {each.diverged} of them."
    if best.diverged:
        return
    values = [epoch[objective] for epoch in best.finals]
    yield (
        f"Trial {best.number} wins with a mean {objective} of {fmean(values):.4f} (from {min(values):.4f} to "
        f"{max(values):.4f}); its own was {best.objective(objective):.4f}."
    )
    luck = optimism(results, objective)
    if luck is not None:
        top = next(each for each in ranked(results, objective) if each.finals)
        yield (
            f"The best {objective} of all trials, {top.objective(objective):.4f} of trial {top.number}, is "
            f"{abs(luck):.4f} {'better' if luck >= 0 else 'worse'} than the mean of this trial's network "
            f"{f'on the other folds, whose {words.many} may be harder or easier' if folds else 'over the other seeds'}."
        )
    baseline = next((each for each in found if each.number == BASELINE), None)
    if baseline is not None and best.number != BASELINE and not baseline.diverged:
        yield f"The baseline's mean is {baseline.decisive(objective):.4f}."
