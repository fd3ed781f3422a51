"""Estimate the time that a study still needs."""

from collections.abc import Mapping, Sequence

from search.study.config import StudyConfig
from search.study.finalists import finalists_of
from search.study.job import RungResult
from search.study.results import BASELINE, TrialResult
from search.study.rungs import expected_share, nominal_seconds


def seconds_left(
    results: Sequence[TrialResult],
    config: StudyConfig,
    cached_results: Mapping[tuple[int, str], RungResult],
    finals: int = 0,
) -> float | None:
    """Estimate the remaining seconds from the measured seconds per nominal second, or return None if unknown.

    The estimate assumes that no running trial is pruned, that the remaining trials cost as much as the past ones, and
    that the finalists cost as much as the average completed trial.

    Args:
        results: The trials so far, including the running ones.
        config: The constants of the study.
        cached_results: What earlier studies trained, by trial number and candidate digest.
        finals: Number of finished trainings of finalists.
    """

    def nominal(result: TrialResult, first: int, last: int) -> float:
        """Nominal seconds of a trial's rungs after epoch `first`, up to epoch `last`."""
        numbers = [sum(rung.epoch <= epoch for rung in config.rungs) for epoch in (first, last)]
        return nominal_seconds(config.rungs, config.images, result.cost.get("macs", 0.0), *numbers)

    settings = config.settings
    trained = [result for result in results if result.state not in ("reused", "infeasible")]
    nothing = RungResult()
    cached = [len(cached_results.get((each.number, each.candidate.digest), nothing).history) for each in trained]
    paid = sum(nominal(each, first, len(each.history)) for each, first in zip(trained, cached, strict=True))
    seconds = sum(each.seconds for each in trained)
    if paid <= 0.0 or seconds <= 0.0:
        return None
    last, running = settings.epochs, [result for result in trained if result.state == "running"]
    costs = [nominal(each, 0, len(each.history) if each.counts else last) for each in trained]
    if trained[0].number == BASELINE:
        # The baseline is never pruned, so later trials take less.
        costs[0] *= expected_share(settings, config.rungs)
    ended = [cost for cost, each in zip(costs, trained, strict=True) if each.counts] or costs
    done = sum(result.counts for result in results)
    typical = sum(ended) / (done or len(costs))  # reused trials cost nothing
    remaining = sum(nominal(each, len(each.history), last) for each in running)
    remaining += typical * max(0, settings.trials - done - len(running))
    complete = [nominal(each, 0, last) for each in trained if each.state == "complete"] or costs
    remaining += max(0, _all_finals(results, config) - finals) * sum(complete) / len(complete)
    return remaining * seconds / paid / min(settings.workers, settings.concurrency)


def _all_finals(results: Sequence[TrialResult], config: StudyConfig) -> int:
    """Number of the trainings of all finalists; while the study runs, of as many as there may be."""
    settings = config.settings
    if sum(result.counts for result in results) >= settings.trials:
        return len(finalists_of(results, config)) * settings.finalists.seeds
    count = settings.finalists.count
    return (min(count, settings.trials - 1) + 1) * settings.finalists.seeds if count and settings.trials > 1 else 0
