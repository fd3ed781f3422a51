"""Check and sample the search space before a study starts."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.cnn.candidate import Candidate
from pipeline.data.dataset import Kind
from pipeline.description.notation import in_words
from pipeline.errors import UserError
from pipeline.params import BudgetParams, Choices, ModelParams, Range, SpaceParams
from pipeline.terminal.progress import progress
from search.estimate.cardinality import size
from search.space.draw import propose
from search.space.feasibility import check_feasibility, nothing_fits
from search.space.values import count

DRAWS = 500


class RandomDraws:
    """Draws uniformly like Optuna's random sampler, but without a study."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return choices[int(self._random.integers(len(choices)))]

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        if log:
            drawn = round(math.exp(self._random.uniform(math.log(low - 0.5), math.log(high + 0.5))))
            return min(max(drawn, low), high)
        return low + step * int(self._random.integers((high - low) // step + 1))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        if log:
            drawn = math.exp(self._random.uniform(math.log(low), math.log(high)))
        elif step is not None:
            steps = math.floor(round((high - low) / step, 9))  # 0.3 / 0.1 is slightly less than 3
            drawn = low + step * int(self._random.integers(steps + 1))
        else:
            drawn = float(self._random.uniform(low, high))
        return min(max(drawn, low), high)


def check_something_fits(
    space: SpaceParams,
    model: ModelParams,
    budget: BudgetParams,
    input_shape: tuple[int, ...],
    classes: int,
    kind: Kind = "image",
) -> None:
    """Check that at least one random candidate fits the budget.

    Raises:
        UserError: None of `DRAWS` candidates fits.
    """
    draws, example = RandomDraws(0), ""
    for _ in range(DRAWS):
        example = check_feasibility(propose(draws, space, model, input_shape, classes), budget, kind).sentence
        if not example:
            return
    raise UserError(f"params.yaml: {nothing_fits(f'{DRAWS} random draws', example)}")


@dataclass(frozen=True)
class Sample:
    """Random draws from a space.

    Attributes:
        drawn: Number of draws.
        feasible: Candidates that fit the budget, with their cost, sorted by multiply-accumulates and then parameters.
        broken: Number of candidates that violate each rule. A candidate can violate several rules.
    """

    drawn: int
    feasible: tuple[tuple[Candidate, dict[str, float]], ...]
    broken: Counter[str]


def draw_sample(
    space: SpaceParams,
    model: ModelParams,
    budget: BudgetParams,
    input_shape: tuple[int, ...],
    classes: int,
    drawn: int,
    kind: Kind = "image",
) -> Sample:
    """Draw `drawn` random candidates, the same ones at each call.

    Raises:
        UserError: No candidate is feasible.
    """
    draws, example = RandomDraws(0), ""
    feasible: list[tuple[Candidate, dict[str, float]]] = []
    broken: Counter[str] = Counter()
    for _ in progress(range(drawn), "plan: random draws", drawn):
        candidate = propose(draws, space, model, input_shape, classes)
        verdict = check_feasibility(candidate, budget, kind)
        if verdict.violations:
            broken.update(verdict.violations.keys())
            example = verdict.sentence
        else:
            feasible.append((candidate, verdict.cost))
    if not feasible:
        raise UserError(f"params.yaml: {nothing_fits(f'{drawn} random draws', example)}")
    feasible.sort(key=lambda each: (each[1]["macs"], each[1]["params"]))
    return Sample(drawn, tuple(feasible), broken)


def sample_in_words(sample: Sample) -> str:
    """Describe how many draws fit, and the cost of the cheapest, the median and the most expensive one."""
    left = 1 - len(sample.feasible) / sample.drawn
    rules = ", ".join(f"{rule} {number / sample.drawn:.1%}" for rule, number in sample.broken.most_common())
    lines = [f"{left:.1%} of {sample.drawn:,} random draws do not fit" + (f": {rules}" if rules else "")]
    places = {"cheapest": 0, "median": len(sample.feasible) // 2, "most expensive": -1}
    lines.append(f"  {'':<14}  {'parameters':>11}  {'MACs':>13}  {'activation MiB':>14}")
    for name, place in places.items():
        candidate, cost = sample.feasible[place]
        figures = f"{cost['params']:>11,}  {cost['macs']:>13,}  {cost['activation_bytes'] / 2**20:>14.3g}"
        lines.append(f"  {name:<14}  {figures}  {in_words(candidate)}")
    return "\n".join(lines)


def size_in_words(space: SpaceParams, model: ModelParams) -> str:
    """Describe the number of different candidates in the search space."""
    exact = size(space, model)
    if math.isfinite(exact):
        return f"{_rounded(exact)} different candidates"
    three = {
        key: Choices(choices=(each.low, (each.low + each.high) / 2, each.high), per_block=each.per_block)
        for key, each in space.given().items()
        if isinstance(each, Range) and math.isinf(count(each))
    }
    return (
        f"infinitely many candidates (continuous ranges: {', '.join(three)}); "
        f"{_rounded(size(space.model_copy(update=three), model))} with three values per continuous range"
    )


def _rounded(number: float) -> str:
    return f"{number:,.0f}" if number < 1e6 else f"about {number:.1e}"
