"""A look for at least one candidate that fits, before a study starts."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.params import BudgetParams, ModelParams, SpaceParams, TrainingParams
from pipeline.terminal import UserError
from search.feasibility import judge, nothing_fits
from search.space import propose

DRAWS = 500


class RandomDraws:
    """Draws uniformly, without a study."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return choices[int(self._random.integers(len(choices)))]

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        if log:
            return int(math.exp(self._random.uniform(math.log(low), math.log(high + 1))))
        return low + step * int(self._random.integers((high - low) // step + 1))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        if log:
            return math.exp(self._random.uniform(math.log(low), math.log(high)))
        if step is not None:
            return low + step * int(self._random.integers(round((high - low) / step) + 1))
        return float(self._random.uniform(low, high))


def check_something_fits(
    space: SpaceParams,
    model: ModelParams,
    training: TrainingParams,
    budget: BudgetParams,
    input_shape: tuple[int, ...],
    classes: int,
) -> None:
    """Draw until a candidate fits the budget.

    Raises:
        UserError: none of `DRAWS` did.
    """
    draws, example = RandomDraws(0), ""
    for _ in range(DRAWS):
        example = judge(propose(draws, space, model, training, input_shape, classes), budget).sentence
        if not example:
            return
    raise UserError(f"params.yaml: {nothing_fits(f'{DRAWS} random draws', example)}")
