"""The finalists of a study: the best candidates, trained again with other seeds, and on other folds if wanted.

The best of many noisy validation figures is the best partly by luck. The mean of further training runs is much less so,
because they had no part in the selection of the finalists. Other folds also validate on other images.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import optuna

from pipeline.errors import UserError
from search.study.config import StudyConfig
from search.study.job import Engine, Epoch, Job, RungResult
from search.study.results import BASELINE, DIVERGED, TrialResult, cheapest_first, ranked, within_tolerance
from search.study.rungs import shares

# Key of the study's user attribute with the last epoch of each training, by candidate and then by number of the seed.
FINALS = "finals"


def finalists_of(results: Sequence[TrialResult], config: StudyConfig) -> list[TrialResult]:
    """Return `finalists.count` completed trials and the baseline; none if there is nothing to decide between them.

    With `choose: best` they are the best by the first objective. With `choose: cheapest` they are the best one and the
    cheapest ones within the tolerance.
    """
    settings = config.settings
    count, quality = settings.finalists.count, settings.objectives[0]
    complete = ranked(results, quality)
    if settings.choose == "cheapest":
        near = within_tolerance(complete, [each.objective(quality) for each in complete], settings)
        complete = [*near[:1], *cheapest_first(near[1:], settings), *complete[len(near) :]]
    chosen = complete[:count] + [each for each in complete[count:] if each.number == BASELINE]
    return chosen if count and len(chosen) > 1 else []


def recorded_finals(study: optuna.Study) -> dict[str, dict[str, Epoch]]:
    """Return the finished trainings of finalists: their last epochs, by candidate and then by number of the seed."""
    return {key: dict(epochs) for key, epochs in study.user_attrs.get(FINALS, {}).items()}


def with_finals(
    results: Sequence[TrialResult], config: StudyConfig, finals: Mapping[str, Mapping[str, Epoch]]
) -> tuple[TrialResult, ...]:
    """Add the trainings with other seeds to the finalists, once all of them are finished.

    Until then nothing is added, so that the own values of the trials decide.
    """
    keys = {each.number: candidate_key(each, config) for each in finalists_of(results, config)}
    seeds = _seeds(config)
    if not all(seed in finals.get(key, {}) for key in keys.values() for seed in seeds):
        return tuple(results)
    added = {number: tuple(finals[key][seed] for seed in seeds) for number, key in keys.items()}
    return tuple(replace(each, finals=added.get(each.number, ())) for each in results)


class FinalTrainings:
    """Trains the finalists again. Finished trainings are recorded in the study, and are not repeated.

    Args:
        config: The constants of the study.
        study: The study, whose user attribute `FINALS` receives the metrics.
        engine: The engine that runs the trainings.
        earlier: Trainings that are already finished, here or in a study that differs only in its number of trials.
    """

    def __init__(
        self, config: StudyConfig, study: optuna.Study, engine: Engine, earlier: Mapping[str, Mapping[str, Epoch]]
    ) -> None:
        self._config = config
        self._study = study
        self._engine = engine
        self.finals: dict[str, dict[str, Epoch]] = {key: dict(epochs) for key, epochs in earlier.items()}

    def run(self, results: Sequence[TrialResult]) -> Iterator[str]:
        """Train what is missing, and describe each training before it starts.

        Raises:
            UserError: A training failed for another reason than divergence. The next run repeats it.
        """
        if self.finals != recorded_finals(self._study):
            self._study.set_user_attr(FINALS, self.finals)
        chosen = finalists_of(results, self._config)
        missing = [
            (finalist, key, seed)
            for finalist in chosen
            for key in [candidate_key(finalist, self._config)]
            for seed in _seeds(self._config)
            if seed not in self.finals.get(key, {})
        ]
        first = 1 + max((result.number for result in results), default=0)  # trials have the numbers below
        jobs = {first + place: self._job(finalist, int(seed)) for place, (finalist, _, seed) in enumerate(missing)}
        for number, job in jobs.items():
            self._engine.submit(number, job)
        for place, (number, (finalist, key, seed)) in enumerate(zip(jobs, missing, strict=True), start=1):
            yield f"finalist trial {finalist.number}, training {place} of {len(missing)}"
            result = self._wait(number, jobs[number])
            if result.failure not in (None, "diverged"):
                raise UserError(
                    f"finalist trial {finalist.number}: a further training run failed: {result.failure}: "
                    f"{result.detail}; run `fovea search` to repeat it, or set search.finalists.count: 0"
                )
            self.finals.setdefault(key, {})[seed] = result.history[-1] if result.history else DIVERGED
            self._study.set_user_attr(FINALS, self.finals)

    def _wait(self, number: int, job: Job) -> RungResult:
        _, result = self._engine.wait(number)
        for _ in range(self._config.settings.max_retries):
            if result.failure != "worker_lost":
                break
            self._engine.submit(number, job)
            _, result = self._engine.wait(number)
        return result

    def _job(self, finalist: TrialResult, seed: int) -> Job:
        config = self._config
        return Job(
            architecture=finalist.candidate.architecture,
            training=finalist.candidate.overlay(config.training),
            seed=int(np.random.SeedSequence([config.seed, finalist.number, 1 + seed]).generate_state(1)[0]),
            shares=shares(config.rungs),
            until=config.rungs[-1].epoch,
            state=None,
            rungs=len(config.rungs),
            fold=seed if config.settings.finalists.cross_validation else 0,
        )


def candidate_key(finalist: TrialResult, config: StudyConfig) -> str:
    """Return the key of a candidate in `FINALS`. It differs between trainings on one split and on folds."""
    folds = " folds" if config.settings.finalists.cross_validation else ""
    return f"{finalist.number} {finalist.candidate.digest}{folds}"


def _seeds(config: StudyConfig) -> list[str]:
    """Return the keys of a candidate's trainings in `FINALS`. The trial itself has another seed."""
    return [str(seed) for seed in range(1, config.settings.finalists.seeds + 1)]
