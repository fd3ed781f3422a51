"""An Optuna sampler whose draws follow from (seed, trial, variable) and the finished trials, nothing else."""

from collections.abc import Sequence
from typing import Any, Literal
from zlib import crc32

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState


class SeededSampler(BaseSampler):
    """Optuna's sampler, made and seeded anew for every question.

    So a study that was killed, even between two draws of one trial, asks what the undisturbed one would have asked.

    Args:
        kind: `tpe` or `random`.
        startup_trials: trials drawn at random before tpe models them.
        seed: of the study.
    """

    def __init__(self, kind: Literal["tpe", "random"], startup_trials: int, seed: int) -> None:
        self._kind = kind
        self._startup_trials = startup_trials
        self._seed = seed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._sampler(trial, "").infer_relative_search_space(_whole(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._sampler(trial, "").sample_relative(_whole(study), trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        sampler = self._sampler(trial, param_name)
        return sampler.sample_independent(_whole(study), trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._sampler(trial, "").after_trial(study, trial, state, values)

    def _sampler(self, trial: FrozenTrial, variable: str) -> BaseSampler:
        entropy = [self._seed, trial.number, crc32(variable.encode())]
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        if self._kind == "random":
            return RandomSampler(seed=seed)
        return TPESampler(n_startup_trials=self._startup_trials, seed=seed)


def _whole(study: Study) -> Study:
    """The study with all its trials.

    With Hyperband, Optuna hands samplers the study of the trial's bracket, in which a small study never has enough
    trials for TPE (that of Optuna 5.0 happens to look past it). TPE ranks trials by the epoch they reached first, so
    it can learn from all of them.
    """
    whole: Study = getattr(study, "_study", study)
    return whole
