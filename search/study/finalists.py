"""The finalists of a study: the best candidates, trained again with other seeds.

The best of many noisy validation figures is the best partly by luck. The mean over other seeds is not, because these
trainings had no part in the selection.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import optuna

from search.study.config import StudyConfig
from search.study.job import Engine, Epoch, Job, RungResult
from search.study.results import BASELINE, TrialResult, ranked
from search.study.rungs import shares

# Key of the study's user attribute with the last epoch of each training, by candidate and then by number of the seed.
FINALS = "finals"
# The metrics of a training that failed, for example by divergence: no finalist with such a training wins.
FAILED: Epoch = {"epoch": 0, "val_accuracy": 0.0, "val_loss": 1e9, "val_macro_f1": 0.0}


def finalists_of(results: Sequence[TrialResult], config: StudyConfig) -> list[TrialResult]:
    """Return the best `finalists.count` completed trials by the first objective, and the baseline."""
    settings = config.settings
    if settings.finalists.count == 0:
        return []
    complete = ranked(results, settings.objectives[0])
    rest = complete[settings.finalists.count :]
    return complete[: settings.finalists.count] + [each for each in rest if each.number == BASELINE]


def recorded_finals(study: optuna.Study) -> dict[str, dict[str, Epoch]]:
    """Return the finished trainings of finalists: their last epochs, by candidate and then by number of the seed."""
    return {key: dict(epochs) for key, epochs in study.user_attrs.get(FINALS, {}).items()}


def with_finals(
    results: Sequence[TrialResult], config: StudyConfig, finals: Mapping[str, Mapping[str, Epoch]]
) -> tuple[TrialResult, ...]:
    """Add the trainings with other seeds to the finalists, once all of them are finished."""
    chosen = finalists_of(results, config)
    keys = {each.number: _keys(each, config) for each in chosen}
    if not all(seed in finals.get(key, {}) for key, seeds in keys.values() for seed in seeds):
        return tuple(results)
    added = {number: tuple(finals[key][seed] for seed in seeds) for number, (key, seeds) in keys.items()}
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
        """Train what is missing, and describe each training before it starts."""
        chosen = finalists_of(results, self._config)
        missing = [
            (finalist, key, seed)
            for finalist in chosen
            for key, seeds in [_keys(finalist, self._config)]
            for seed in seeds
            if seed not in self.finals.get(key, {})
        ]
        first = 1 + max((result.number for result in results), default=0)  # trials have the numbers below
        jobs = {first + place: self._job(finalist, int(seed)) for place, (finalist, _, seed) in enumerate(missing)}
        for number, job in jobs.items():
            self._engine.submit(number, job)
        for place, (number, (finalist, key, seed)) in enumerate(zip(jobs, missing, strict=True), start=1):
            yield f"finalist trial {finalist.number}, training {place} of {len(missing)}"
            result = self._wait(number, jobs[number])
            self.finals.setdefault(key, {})[seed] = result.history[-1] if result.history else FAILED
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
        )


def candidate_key(finalist: TrialResult) -> str:
    """Return the key of a candidate in `FINALS`."""
    return f"{finalist.number} {finalist.candidate.digest}"


def _keys(finalist: TrialResult, config: StudyConfig) -> tuple[str, list[str]]:
    """Return the keys of a candidate and of its seeds in `FINALS`. The trial itself has another seed."""
    return candidate_key(finalist), [str(seed) for seed in range(1, config.settings.finalists.seeds + 1)]
