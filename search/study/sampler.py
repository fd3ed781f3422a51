"""An Optuna sampler whose draws depend only on the seed, the trial, the variable and the earlier trials."""

import math
import warnings
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from importlib.util import find_spec
from typing import Any
from zlib import crc32

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    GridSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from pipeline.errors import UserError
from pipeline.params import Choices, Range
from pipeline.params.search import SAMPLERS, Sampler
from search.space.draw import variables
from search.space.values import count, listed
from search.study.config import StudyConfig

MAX_GRID_POINTS = 100_000
# The time of TPE grows with the number of trials it models: 27 ms with 300, 50 ms with 1,000 (16 variables). If there
# are more trials than this, TPE sees half this number of the latest trials and half this number of the best ones.
ALL_ARE_SEEN = 200
# Average number of values of the best trial that a start-up trial redraws.
REDRAWN = 4


class SeededSampler(BaseSampler):
    """Optuna's sampler, created and seeded again for every call.

    So a study that was killed, even between two draws of a trial, draws the same values as an uninterrupted study.

    Args:
        config: The constants of the study.

    Raises:
        UserError: The sampler needs a library that is not installed, or the grid is infinite or too large.
    """

    def __init__(self, config: StudyConfig) -> None:
        self._settings = settings = config.settings
        self._seed = config.seed
        drawn = variables(settings.space, config.model)
        self._grid = _grid(drawn) if settings.sampler == "grid" else {}
        varied = sum(count(values) > 1 for values in drawn.values())
        self._kept = 1 - min(1.0, REDRAWN / max(1, varied)) if settings.starts_near_best else 0.0
        library = SAMPLERS[settings.sampler].library
        if library is not None and find_spec(library) is None:
            raise UserError(
                f"params.yaml: search.sampler: {settings.sampler} needs the Python package {library}, which is not "
                f"installed; install it with `make extras EXTRAS={settings.sampler}`, or use sampler: tpe"
            )
        # Trial 0 of a study with a backbone has the variables of a network that it did not train.
        backbone = config.first_trials[0].candidate.architecture.backbone
        self._hides_baseline = backbone is not None and SAMPLERS[settings.sampler].startup
        self._relative: BaseSampler = RandomSampler()
        self._seen: Study | None = None

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._sampler(trial, "").before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        self._relative = self._sampler(trial, "")  # keeps the inferred space for the next call
        self._seen = self._view(study)
        return self._relative.infer_relative_search_space(self._seen, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._relative.sample_relative(self._seen or study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if self._keeps(trial, param_name):
            trials = study.get_trials(deepcopy=False)
            seen = trials[1:] if self._hides_baseline else trials
            known = next(iter(_best(seen, study.directions[0], 1)), trials[0]).params  # or the baseline's
            if param_name in known:
                return known[param_name]
        sampler = self._sampler(trial, param_name)
        return sampler.sample_independent(self._seen or study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        if self._settings.sampler != "grid":  # it would call study.stop(), which fails outside of optimize()
            self._sampler(trial, "").after_trial(study, trial, state, values)

    def _keeps(self, trial: FrozenTrial, variable: str) -> bool:
        """Return whether a start-up trial keeps the best trial's value of a variable."""
        if not self._kept or not 0 < trial.number < self._settings.startup_trials:
            return False
        entropy = np.random.SeedSequence([self._seed, trial.number, crc32(variable.encode()), 1])
        return float(np.random.default_rng(entropy).random()) < self._kept

    def _view(self, study: Study) -> Study:
        """Return the study as the sampler sees it. For TPE, it has only as many trials as can be modelled quickly.

        It includes the best trials, from which TPE models good values. The latest trials represent all others, to which
        TPE compares the best ones. A backbone, which the variables of its trial do not describe, is left out.
        """
        trials = study.get_trials(deepcopy=False)
        if self._hides_baseline:
            trials = trials[1:]
        if self._settings.sampler != "tpe" or len(trials) <= ALL_ARE_SEEN:
            return _View(study, trials) if self._hides_baseline else study
        chosen = {trial.number for trial in trials[-ALL_ARE_SEEN // 2 :]}
        chosen |= {trial.number for trial in trials if trial.state == TrialState.RUNNING}
        for place, side in enumerate(study.directions):
            chosen |= {trial.number for trial in _best(trials, side, ALL_ARE_SEEN // 2, place)}
        return _View(study, [trial for trial in trials if trial.number in chosen])

    def _sampler(self, trial: FrozenTrial, variable: str) -> BaseSampler:
        entropy = [self._seed, trial.number, crc32(variable.encode())]
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        request = _Request(seed, self._settings.startup_trials, self._seed, trial.number, self._grid)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return OPTUNA_SAMPLERS[self._settings.sampler](request)


@dataclass(frozen=True)
class _Request:
    """What a sampler may depend on.

    Attributes:
        seed: Differs between trials and variables.
        startup_trials: Number of trials before the sampler models them.
        study_seed: The same for all trials.
        number: Number of the trial.
        grid: All values of each variable, for sampler: grid.
    """

    seed: int
    startup_trials: int
    study_seed: int
    number: int
    grid: Mapping[str, Sequence[Any]]


def _tpe(request: _Request) -> BaseSampler:
    return TPESampler(
        n_startup_trials=request.startup_trials,
        multivariate=True,
        group=True,  # variables that only some trials draw do not prevent a joint model of the others
        constant_liar=True,
        seed=request.seed,
    )


def _gp(request: _Request) -> BaseSampler:
    return GPSampler(n_startup_trials=request.startup_trials, warn_independent_sampling=False, seed=request.seed)


def _cmaes(request: _Request) -> BaseSampler:
    startup = max(1, request.startup_trials)
    return CmaEsSampler(n_startup_trials=startup, warn_independent_sampling=False, seed=request.seed)


def _qmc(request: _Request) -> BaseSampler:
    return _NumberedQmc(
        request.number,
        scramble=True,
        warn_asynchronous_seeding=False,
        warn_independent_sampling=False,
        seed=request.study_seed,  # one scrambled sequence for the whole study
    )


# Optuna's sampler for each value of `search.sampler`. Their properties are in SAMPLERS in pipeline/params/search.py.
OPTUNA_SAMPLERS: dict[Sampler, Callable[[_Request], BaseSampler]] = {
    "tpe": _tpe,
    "random": lambda request: RandomSampler(seed=request.seed),
    "gp": _gp,
    "cmaes": _cmaes,
    "nsga2": lambda request: NSGAIISampler(population_size=max(2, request.startup_trials), seed=request.seed),
    "qmc": _qmc,
    "grid": lambda request: GridSampler(dict(request.grid), seed=request.study_seed),
}


def _best(trials: Sequence[FrozenTrial], side: StudyDirection, count: int, objective: int = 0) -> Sequence[FrozenTrial]:
    """Return up to `count` of the best complete trials by an objective, best first; ties by lower number."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    sign = -1 if side == StudyDirection.MAXIMIZE else 1
    return nsmallest(count, complete, key=lambda trial: (sign * trial.values[objective], trial.number))


class _NumberedQmc(QMCSampler):
    """Optuna's QMCSampler, but the number of a trial selects its point.

    Optuna counts the calls in the study. A call that is repeated after a kill would shift all later trials.
    """

    def __init__(self, number: int, **settings: Any) -> None:
        super().__init__(**settings)
        self._number = number

    def _find_sample_id(self, study: Study, search_space: dict[str, BaseDistribution]) -> int:
        return self._number


class _View(Study):
    """A study that shows only some of its trials."""

    def __init__(self, study: Study, trials: list[FrozenTrial]) -> None:
        super().__init__(study.study_name, study._storage, study.sampler, study.pruner)
        self._trials = trials

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return [trial for trial in self._trials if states is None or trial.state in states]


def _grid(variables: Mapping[str, Range | Choices]) -> dict[str, Sequence[Any]]:
    """Return all values of every variable that has more than one value.

    Raises:
        UserError: The grid is infinite or has more than `MAX_GRID_POINTS` points.
    """
    grid: dict[str, Sequence[Any]] = {}
    points = 1.0
    for name, values in variables.items():
        points *= count(values)
        if math.isinf(points):
            raise UserError(
                f"params.yaml: search.space.{name}: sampler: grid requires a finite number of values, got a range "
                "without a step; add a step, or use a list of values"
            )
        if count(values) > 1:
            grid[name] = _every_value(values)
    if points > MAX_GRID_POINTS:
        raise UserError(
            f"params.yaml: search.space: sampler: grid allows at most {MAX_GRID_POINTS:,} combinations, got "
            f"{points:,.0f}; use fewer values, or another sampler"
        )
    return grid


def _every_value(values: Range | Choices) -> Sequence[Any]:
    if isinstance(values, Choices) or values.integral:
        return listed(values)
    step = float(values.step or 0.0)
    return [float(f"{values.low + number * step:.10g}") for number in range(int(count(values)))]
