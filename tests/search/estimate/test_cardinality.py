"""The number of candidates in a space."""

import math
from collections.abc import Sequence
from typing import Any

import pytest

from pipeline.params import Block, Head, ModelParams, SpaceParams
from search.estimate.cardinality import size
from search.space.draw import draw_model
from tests.search.spaces import MODEL, SHARED, WIDE, per_block, space


class PathTrial:
    """A trial that selects the values at the given positions, and the first value for each later request."""

    def __init__(self, places: Sequence[int]) -> None:
        self._places = places
        self.path: list[tuple[int, int]] = []

    def _at(self, values: Sequence[Any]) -> Any:
        depth = len(self.path)
        place = self._places[depth] if depth < len(self._places) else 0
        self.path.append((place, len(values)))
        return values[place]

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._at(choices)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return int(self._at(range(low, high + 1, step)))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        assert step is not None
        return float(self._at([low + step * number for number in range(round((high - low) / step) + 1)]))


def count_draws(keys: SpaceParams, model: ModelParams) -> int:
    """The number of different sequences of values that a trial can draw."""
    places: list[int] | None = []
    draws = 0
    while places is not None:
        trial = PathTrial(places)
        draw_model(trial, keys, model)
        draws += 1
        while trial.path and trial.path[-1][0] == trial.path[-1][1] - 1:
            trial.path.pop()
        places = [place for place, _ in trial.path]
        if places:
            places[-1] += 1
        else:
            places = None
    return draws


MIXED = ModelParams(
    blocks=(Block(filters=4, residual=True), Block(filters=4, pooling="none"), Block(filters=8)), head=Head(dense=(8,))
)


@pytest.mark.parametrize("model", [MODEL, MIXED], ids=["plain", "mixed"])
@pytest.mark.parametrize(
    "keys",
    [
        space(),
        space(blocks=[1, 3], filters=[4, 8], filter_growth=[1, 2], convs={"low": 1, "high": 2, "per_block": True}),
        space(dense_layers=[0, 2], dense_units={"low": 8, "high": 16, "step": 4}, head_dropout=[0.0, 0.5]),
        space(pooling=["max", "none"], pool_size=[2, 3], pool_first=[False, True], padding=["same", "valid"]),
        space(blocks={"low": 1, "high": 2}, pooling=per_block("max", "min", "none"), pool_size=[2, 3]),
        space(residual=per_block(False, True), padding=["same", "valid"], pool_first=per_block(False, True)),
        space(attention=["none", "squeeze_excite"], residual=[False, True], pool_first=per_block(False, True)),
        space(dropout={"low": 0.0, "high": 0.35, "step": 0.1}, optimizer=["sgd", "adam"], augmentation=[0.5, 1.0]),
    ],
    ids=["nothing", "blocks", "dense", "shared", "pooled", "residual", "attention", "training"],
)
def test_the_size_is_the_number_of_distinct_draws(keys: SpaceParams, model: ModelParams) -> None:
    assert size(keys, model) == count_draws(keys, model)


def test_the_size_is_correct_if_only_dependent_keys_are_drawn_per_block() -> None:
    keys = SHARED.model_copy(update={"blocks": space(blocks=[1, 2]).blocks})
    assert size(keys, MODEL) == count_draws(keys, MODEL)


def test_a_space_with_a_continuous_range_is_infinite() -> None:
    assert size(WIDE, MODEL) == math.inf
    growing = {"low": 0.5, "high": 2.0}
    assert size(space(blocks=[1, 2], filter_growth=growing), MODEL) == math.inf
    assert size(space(blocks=1, filter_growth=growing), MODEL) == 1  # one block has nothing to grow into
