"""The values that a key of the search space can have."""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Protocol

from pipeline.params import Choices, Range


class Draws(Protocol):
    """The methods of an Optuna trial that draw values."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...
    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...
    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...


def suggest(trial: Draws, name: str, values: Range | Choices) -> Any:
    """Return the value that a trial draws. If there is only one value, nothing is drawn."""
    if count(values) == 1:
        return values.choices[0] if isinstance(values, Choices) else values.low
    if isinstance(values, Choices):
        return trial.suggest_categorical(name, list(values.choices))
    if values.integral:
        every = listed(values)
        return trial.suggest_int(name, every[0], every[-1], step=int(values.step or 1), log=values.log)
    if values.step is None:
        return trial.suggest_float(name, float(values.low), float(values.high), log=values.log)
    low, step, steps = _grid(values)
    drawn = trial.suggest_float(name, float(low), float(low + steps * step), step=float(step))
    return float(f"{drawn:.10g}")  # 0.30000000000000004 is 0.3


def count(values: Range | Choices) -> float:
    """Return the number of values; infinity for a continuous range."""
    if isinstance(values, Range) and not values.integral:
        if values.low == values.high:
            return 1
        return math.inf if values.step is None else _grid(values)[2] + 1
    return len(listed(values))


def listed(values: Range | Choices) -> Sequence[Any]:
    """Return all values of a list or of a range of integers."""
    if isinstance(values, Choices):
        return values.choices
    return range(int(values.low), int(values.high) + 1, int(values.step or 1))


def _grid(values: Range) -> tuple[Decimal, Decimal, int]:
    """Return the first value, the step and the number of steps as decimals, so that ten steps of 0.1 are exactly 1."""
    low, high, step = (Decimal(str(value)) for value in (values.low, values.high, values.step))
    return low, step, int((high - low) // step)
