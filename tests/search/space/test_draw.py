"""Drawing candidates."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cnn.geometry import compute_geometry
from pipeline.errors import UserError
from pipeline.params import AugmentationParams, Block, ModelParams, SpaceParams
from search.estimate.precheck import RandomDraws
from search.space.draw import check_space, draw, propose, variables
from tests.search.spaces import MODEL, SHARED, TRAINING, WIDE, RecordingDraws, key_of, per_block, space

SPACES = pytest.mark.parametrize("keys", [WIDE, SHARED], ids=["wide", "shared"])


@settings(max_examples=2000, deadline=None)
@given(
    height=st.integers(4, 32), width=st.integers(4, 32), channels=st.sampled_from([1, 3]), seed=st.integers(0, 2**32)
)
@pytest.mark.slow
def test_every_effective_candidate_fits_its_grid(height: int, width: int, channels: int, seed: int) -> None:
    candidate = propose(RandomDraws(seed), WIDE, MODEL, (height, width, channels), 10)
    compute_geometry(candidate.architecture)


@SPACES
def test_ranges_never_depend_on_what_was_drawn(keys: SpaceParams) -> None:
    ranges: dict[str, tuple[object, ...]] = {}
    for seed in range(200):
        trial = RecordingDraws(seed)
        draw(trial, keys, MODEL, (9, 5, 1), 3)
        for name, drawn_from in trial.ranges.items():
            assert ranges.setdefault(name, drawn_from) == drawn_from
    assert set(ranges) == set(variables(keys, MODEL))


@SPACES
def test_the_drawn_values_determine_the_candidate(keys: SpaceParams) -> None:
    for seed in range(200):
        trial = RecordingDraws(seed)
        drawn = draw(trial, keys, MODEL, (9, 5, 1), 3)
        again = RecordingDraws(seed + 1, trial.values)
        assert draw(again, keys, MODEL, (9, 5, 1), 3) == drawn
        assert again.values == trial.values


@pytest.mark.slow
@SPACES
def test_each_drawn_value_affects_the_candidate(keys: SpaceParams) -> None:
    tried, changed = Counter[str](), Counter[str]()
    for seed in range(40):
        trial = RecordingDraws(seed)
        drawn = draw(trial, keys, MODEL, (9, 5, 1), 3)
        for name, value in trial.values.items():
            others = {other: kept for other, kept in trial.values.items() if other != name}
            for attempt in range(20):
                changing = RecordingDraws(1000 * seed + attempt, others)
                candidate = draw(changing, keys, MODEL, (9, 5, 1), 3)
                if changing.values[name] != value:
                    tried[key_of(name)] += 1
                    changed[key_of(name)] += candidate != drawn
                    break
    assert set(tried) == {key for key, values in keys.given().items()}
    # Rounding can turn two growths into the same filters; every other key must have an effect.
    assert {key for key in tried if changed[key] < tried[key]} <= {"filter_growth"}
    assert changed["filter_growth"] >= 0.5 * tried["filter_growth"]


def drawn_names(values: dict[str, object], keys: SpaceParams = WIDE, model: ModelParams = MODEL) -> set[str]:
    trial = RecordingDraws(0, values)
    draw(trial, keys, model, (9, 5, 1), 3)
    return set(trial.values)


def test_values_of_blocks_beyond_the_drawn_number_are_not_drawn() -> None:
    assert {name for name in drawn_names({"blocks": 2}) if name.startswith("kernel_size")} == {
        "kernel_size_1",
        "kernel_size_2",
    }
    assert "filter_growth" not in drawn_names({"blocks": 1})


def test_units_are_not_drawn_without_a_dense_layer() -> None:
    assert "dense_units" not in drawn_names({"dense_layers": 0})
    assert "dense_units" in drawn_names({"dense_layers": 1})


def test_a_window_is_not_drawn_without_pooling() -> None:
    pools = {"pool_size", "pool_strides", "pool_first"}
    shared = {"residual": False, "attention": "none"}
    assert not pools & {key_of(name) for name in drawn_names(shared | {"pooling": "none"}, SHARED)}
    assert pools <= {key_of(name) for name in drawn_names(shared | {"pooling": "max"}, SHARED)}
    one = {"blocks": 2, "pooling_1": "none", "pooling_2": "max", "residual_2": False, "attention_2": "none"}
    names = drawn_names(one)
    assert {"pool_size", "pool_strides_2", "pool_first_2"} <= names
    assert not {"pool_strides_1", "pool_first_1"} & names


def test_conditions_use_the_baseline_for_keys_missing_from_the_space() -> None:
    unpooled = ModelParams(blocks=(Block(filters=4, pooling="none"), Block(filters=4)), head=MODEL.head)
    keys = space(pool_size=per_block(2, 3), dense_units=[4, 8])
    assert drawn_names({}, keys, unpooled) == {"pool_size_2", "dense_units"}


@pytest.mark.parametrize("deciding", [{"residual": True}, {"attention": "squeeze_excite"}], ids=str)
def test_a_block_that_needs_its_whole_map_never_pools_first(deciding: dict[str, object]) -> None:
    early = ModelParams(blocks=(Block(filters=4, pool_first=True),), head=MODEL.head)
    for keys in (space(**deciding, pool_first=[False, True]), space(**deciding)):
        assert drawn_names({}, keys, early) == set()
        assert not draw(RandomDraws(0), keys, early, (16, 16, 1), 10).architecture.blocks[0].pool_first


def test_the_padding_of_a_residual_block_is_not_drawn() -> None:
    keys = space(residual=per_block(False, True), padding=per_block("same", "valid"))
    names = drawn_names({"residual_1": True, "residual_2": False}, keys)
    assert {name for name in names if name.startswith("padding")} == {"padding_2"}


def test_the_drawn_augmentation_strength_is_used_in_training() -> None:
    drawn = draw(RandomDraws(0), space(augmentation=0.5), MODEL, (16, 16, 1), 10)
    assert drawn.training == {"augmentation_strength": 0.5}
    assert drawn.overlay(TRAINING).augmentation == TRAINING.augmentation.model_copy(update={"strength": 0.5})


def test_batch_sizes_that_gpus_cannot_share_are_refused() -> None:
    keys, both = space(batch_size=[32, 63, 49]), TRAINING.model_copy(update={"gpus": 2})
    check_space(keys, MODEL, TRAINING)
    with pytest.raises(UserError, match=r"batch_size: training.gpus must divide .* got 63 and training.gpus: 2"):
        check_space(keys, MODEL, both)


def test_a_strength_without_augmentation_is_refused() -> None:
    nothing = AugmentationParams(strength=1.0, flip="both", shift=0.0, rotate=0.0, zoom=0.0, noise=0.0)
    keys = space(augmentation=[0.5, 1.0])
    for amount in ("shift", "rotate", "zoom", "noise"):
        only = nothing.model_copy(update={amount: 0.1})
        check_space(keys, MODEL, TRAINING.model_copy(update={"augmentation": only}))
    with pytest.raises(UserError, match=r"search\.space\.augmentation is a factor on .* which are all 0; remove it"):
        check_space(keys, MODEL, TRAINING.model_copy(update={"augmentation": nothing}))


def test_a_key_drawn_per_block_has_a_variable_for_each_block() -> None:
    found = variables(space(blocks=[1, 3], kernel_size={"choices": [3, 5], "per_block": True}), MODEL)
    assert list(found) == ["blocks", "kernel_size_1", "kernel_size_2", "kernel_size_3"]


def test_keys_missing_from_the_space_keep_the_values_of_the_baseline() -> None:
    drawn = draw(RandomDraws(0), space(blocks=3, activation="gelu"), MODEL, (16, 16, 1), 10)
    first, second, third = drawn.architecture.blocks
    assert first == MODEL.blocks[0].model_copy(update={"activation": "gelu"})
    assert second == third == MODEL.blocks[1].model_copy(update={"activation": "gelu"})
    assert drawn.architecture.head == MODEL.head
    assert drawn.training == {}


def test_filters_grow_from_block_to_block() -> None:
    drawn = draw(RandomDraws(0), space(blocks=3, filters=6, filter_growth=1.5), MODEL, (16, 16, 1), 10)
    assert [block.filters for block in drawn.architecture.blocks] == [6, 9, 14]
    drawn = draw(RandomDraws(0), space(blocks=2, filters=5, filter_growth=0.1), MODEL, (16, 16, 1), 10)
    assert [block.filters for block in drawn.architecture.blocks] == [5, 1]


def test_filters_without_growth_keep_the_proportions_of_the_baseline() -> None:
    drawn = draw(RandomDraws(0), space(filters=10), MODEL, (16, 16, 1), 10)
    assert [block.filters for block in drawn.architecture.blocks] == [10, 30]

    uneven = ModelParams(blocks=(Block(filters=4), Block(filters=6)), head=MODEL.head)
    drawn = draw(RandomDraws(0), space(filters=10), uneven, (16, 16, 1), 10)
    assert [block.filters for block in drawn.architecture.blocks] == [10, 15]
    drawn = draw(RandomDraws(0), space(blocks=2, filters=8), MODEL.model_copy(update={"blocks": ()}), (16, 16, 1), 10)
    assert [block.filters for block in drawn.architecture.blocks] == [8, 8]


def test_filters_that_grow_may_be_drawn_once_for_all_blocks() -> None:
    for keys in ({"filters": [4, 8], "filter_growth": [1.5, 2]}, {"filter_growth": 2}, {"filters": per_block(4, 8)}):
        check_space(space(**keys), MODEL, TRAINING)


def test_a_residual_block_has_padding_same() -> None:
    drawn = draw(RandomDraws(0), space(residual=True, padding="valid"), MODEL, (16, 16, 1), 10)
    assert {block.padding for block in drawn.architecture.blocks} == {"same"}


def test_each_dense_layer_has_the_drawn_units() -> None:
    drawn = draw(RandomDraws(0), space(dense_layers=3, dense_units=20), MODEL, (16, 16, 1), 10)
    assert drawn.architecture.head.dense == (20, 20, 20)


def test_stepped_values_have_no_floating_point_residue() -> None:
    stepped = space(dropout={"low": 0.0, "high": 0.45, "step": 0.1})
    values = {
        draw(RandomDraws(seed), stepped, MODEL, (16, 16, 1), 10).architecture.blocks[0].dropout for seed in range(60)
    }
    assert values == {0.0, 0.1, 0.2, 0.3, 0.4}


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
def test_a_space_that_leaves_a_value_undefined_is_refused(
    keys: dict[str, object], model: dict[str, object], missing: str
) -> None:
    with pytest.raises(UserError, match=missing):
        check_space(space(**keys), ModelParams.model_validate(model), TRAINING)
