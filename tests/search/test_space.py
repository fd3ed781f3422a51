"""Drawing candidates."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cnn.geometry import describe
from pipeline.params import Block, Head, ModelParams, SpaceParams, load_params
from pipeline.terminal import UserError
from search.precheck import RandomDraws
from search.space import check_space, draw, nearest_to_baseline, propose, variables
from tests.search.laboratory import PARAMS

TRAINING = load_params(PARAMS).training
MODEL = ModelParams(
    blocks=(Block(filters=8, kernel_size=5, padding="valid"), Block(filters=24, dropout=0.1)),
    head=Head(dense=(32, 16), dropout=0.3),
)
WIDE = SpaceParams.model_validate(
    {
        "blocks": {"low": 1, "high": 5},
        "filters": [4, 8],
        "filter_growth": {"low": 0.5, "high": 2.0},
        "convs": {"low": 1, "high": 3, "per_block": True},
        "kernel_size": {"choices": [1, 2, 3, 5, 7, 11], "per_block": True},
        "strides": {"low": 1, "high": 4, "per_block": True},
        "padding": ["same", "valid"],
        "convolution": {"choices": ["ordinary", "separable"], "per_block": True},
        "normalization": ["none", "batch"],
        "residual": {"choices": [False, True], "per_block": True},
        "attention": ["none", "squeeze_excite"],
        "pooling": {"choices": ["max", "average", "min", "sum", "none"], "per_block": True},
        "pool_size": {"low": 1, "high": 5},
        "pool_strides": {"low": 1, "high": 4, "per_block": True},
        "dropout": {"low": 0.0, "high": 0.5, "step": 0.1},
        "head": ["flatten", "global_average", "global_max", "convolution"],
        "dense_layers": {"low": 0, "high": 2},
        "dense_units": {"low": 4, "high": 64, "log": True},
        "learning_rate": {"low": 0.001, "high": 0.1, "log": True},
    }
)


def space(**keys: object) -> SpaceParams:
    return SpaceParams.model_validate(keys)


@settings(max_examples=2000, deadline=None)
@given(
    height=st.integers(4, 32), width=st.integers(4, 32), channels=st.sampled_from([1, 3]), seed=st.integers(0, 2**32)
)
def test_every_effective_candidate_fits_its_grid(height: int, width: int, channels: int, seed: int) -> None:
    candidate = propose(RandomDraws(seed), WIDE, MODEL, TRAINING, (height, width, channels), 10)
    describe(candidate.architecture)


def test_every_trial_draws_the_same_variables() -> None:
    class Names(RandomDraws):
        def __init__(self, seed: int) -> None:
            super().__init__(seed)
            self.asked: list[str] = []

        def suggest_categorical(self, name, choices):  # type: ignore[no-untyped-def]
            self.asked.append(f"{name} {choices}")
            return super().suggest_categorical(name, choices)

        def suggest_int(self, name, low, high, **more):  # type: ignore[no-untyped-def]
            self.asked.append(f"{name} {low} {high}")
            return super().suggest_int(name, low, high, **more)

        def suggest_float(self, name, low, high, **more):  # type: ignore[no-untyped-def]
            self.asked.append(f"{name} {low} {high}")
            return super().suggest_float(name, low, high, **more)

    asked = []
    for seed in range(30):
        trial = Names(seed)
        draw(trial, WIDE, MODEL, TRAINING, (9, 5, 1), 3)
        asked.append(tuple(trial.asked))
    assert len(set(asked)) == 1


def test_a_key_drawn_per_block_is_a_variable_for_each_block() -> None:
    found = variables(space(blocks=[1, 3], kernel_size={"choices": [3, 5], "per_block": True}), MODEL)
    assert list(found) == ["blocks", "kernel_size_1", "kernel_size_2", "kernel_size_3"]


def test_what_the_space_leaves_out_stays_as_in_the_baseline() -> None:
    drawn = draw(RandomDraws(0), space(blocks=3, activation="gelu"), MODEL, TRAINING, (16, 16, 1), 10)
    first, second, third = drawn.architecture.blocks
    assert first == MODEL.blocks[0].model_copy(update={"activation": "gelu"})
    assert second == third == MODEL.blocks[1].model_copy(update={"activation": "gelu"})
    assert drawn.architecture.head == MODEL.head
    assert drawn.training == {}


def test_filters_grow_from_block_to_block() -> None:
    drawn = draw(RandomDraws(0), space(blocks=3, filters=6, filter_growth=1.5), MODEL, TRAINING, (16, 16, 1), 10)
    assert [block.filters for block in drawn.architecture.blocks] == [6, 9, 14]


def test_filters_without_growth_keep_the_baseline_s_proportions() -> None:
    drawn = draw(RandomDraws(0), space(filters=10), MODEL, TRAINING, (16, 16, 1), 10)
    assert [block.filters for block in drawn.architecture.blocks] == [10, 30]


def test_a_residual_block_is_given_padding_same() -> None:
    drawn = draw(RandomDraws(0), space(residual=True, padding="valid"), MODEL, TRAINING, (16, 16, 1), 10)
    assert {block.padding for block in drawn.architecture.blocks} == {"same"}


def test_dense_layers_have_the_drawn_units_each() -> None:
    drawn = draw(RandomDraws(0), space(dense_layers=3, dense_units=20), MODEL, TRAINING, (16, 16, 1), 10)
    assert drawn.architecture.head.dense == (20, 20, 20)


def test_stepped_values_are_free_of_binary_residue() -> None:
    stepped = space(dropout={"low": 0.0, "high": 0.45, "step": 0.1})
    values = {
        draw(RandomDraws(seed), stepped, MODEL, TRAINING, (16, 16, 1), 10).architecture.blocks[0].dropout
        for seed in range(60)
    }
    assert values == {0.0, 0.1, 0.2, 0.3, 0.4}


def test_the_baseline_is_projected_onto_the_nearest_values() -> None:
    near = nearest_to_baseline(
        space(
            blocks={"low": 3, "high": 4},
            filters=[16, 32],
            kernel_size={"choices": [3, 4, 7], "per_block": True},
            pool_strides=[1, 2],
            dropout={"low": 0.02, "high": 0.4, "step": 0.1},
            head=["global_average", "flatten"],
            dense_units={"low": 64, "high": 128},
            learning_rate={"low": 0.01, "high": 0.1, "log": True},
            padding="same",
        ),
        MODEL,
        TRAINING,
    )
    assert near == {
        "blocks": 3,
        "filters": 16,
        "kernel_size_1": 4,
        "kernel_size_2": 3,
        "kernel_size_3": 3,
        "kernel_size_4": 3,
        "pool_strides": 2,
        "dropout": 0.02,
        "head": "flatten",
        "dense_units": 64,
        "learning_rate": 0.01,
    }


@pytest.mark.parametrize(
    ("keys", "model", "missing"),
    [
        ({"blocks": [1, 2]}, {"blocks": (), "head": {"dense": (8,)}}, "search.space.filters"),
        ({"dense_layers": [0, 1]}, {"blocks": (), "head": {"dense": ()}}, "search.space.dense_units"),
        (
            {"filters": {"choices": [4, 8], "per_block": True}, "filter_growth": 2},
            {"blocks": ({"filters": 4},), "head": {"dense": ()}},
            "search.space.filters",
        ),
    ],
)
def test_a_space_that_leaves_a_value_open_is_refused(
    keys: dict[str, object], model: dict[str, object], missing: str
) -> None:
    with pytest.raises(UserError, match=missing):
        check_space(space(**keys), ModelParams.model_validate(model))
