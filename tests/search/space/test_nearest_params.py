"""The values of the space nearest to the baseline."""

import optuna
import pytest

from pipeline.params import Block, SpaceParams
from search.space.draw import draw, draw_model
from search.space.nearest_params import nearest_to_baseline
from tests.search.spaces import MODEL, SHARED, TRAINING, WIDE, RecordingDraws, per_block, space


def test_the_baseline_is_projected_onto_the_nearest_values() -> None:
    near = nearest_to_baseline(
        space(
            blocks={"low": 3, "high": 4},
            filters=[16, 32],
            kernel_size=per_block(3, 4, 7),
            pool_strides=[1, 2],
            dropout={"low": 0.02, "high": 0.4, "step": 0.1},
            head=["global_average", "flatten"],
            dense_units={"low": 64, "high": 128},
            learning_rate={"low": 0.01, "high": 0.1, "log": True},
            augmentation=[0, 0.8, 2],
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
        "pool_strides": 2,
        "dropout": 0.02,
        "head": "flatten",
        "dense_units": 64,
        "learning_rate": 0.01,
        "augmentation": 0.8,
    }


def test_a_value_outside_the_space_is_replaced_by_the_nearest_or_else_the_first() -> None:
    block = MODEL.blocks[0].model_copy(update={"dropout": 0.34, "kernel_size": (3, 7)})
    model = MODEL.model_copy(update={"blocks": (block,), "head": MODEL.head.model_copy(update={"dense": (108, 70)})})
    keys = space(
        dense_units={"low": 64, "high": 128, "step": 16},
        dropout={"low": 0.08, "high": 0.48, "step": 0.1},
        filters={"low": block.filters + 1, "high": 100},
        pool_size={"low": 1, "high": 9},
        kernel_size=[3, 5, 7],
        head=["global_max", "convolution", "global_average"],
    )
    assert nearest_to_baseline(keys, model, TRAINING) == {
        "dense_units": 112,
        "dropout": pytest.approx(0.38),
        "filters": block.filters + 1,
        "pool_size": block.pool_size,
        "kernel_size": 7,
        "head": "global_max",
    }


@pytest.mark.parametrize(
    ("filters", "growth"), [((4,), 1.0), ((4, 6), 1.5), ((4, 10, 6), 2.5), ((8, 4), 0.5), ((), 1.0)]
)
def test_the_growth_of_the_baseline_is_that_of_its_first_two_blocks(filters: tuple[int, ...], growth: float) -> None:
    model = MODEL.model_copy(update={"blocks": tuple(Block(filters=each) for each in filters)})
    keys = space(blocks=3, filters=[4, 8], filter_growth=[0.25, 0.5, 1.0, 1.5, 2.5, 10.0])
    assert nearest_to_baseline(keys, model, TRAINING)["filter_growth"] == growth


@pytest.mark.parametrize("keys", [WIDE, SHARED], ids=["wide", "shared"])
def test_an_enqueued_baseline_draws_exactly_its_nearest_values(keys: SpaceParams) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for seed in range(25):
        model, _ = draw_model(RecordingDraws(seed), WIDE, MODEL)
        study = optuna.create_study()
        near = nearest_to_baseline(keys, model, TRAINING)
        study.enqueue_trial(near)
        trial = study.ask()
        draw(trial, keys, model, (16, 16, 1), 10)
        assert trial.params == near


def test_a_baseline_inside_the_space_is_nearest_to_itself() -> None:
    for seed in range(50):
        model, _ = draw_model(RecordingDraws(seed), SHARED, MODEL)
        near = nearest_to_baseline(SHARED, model, TRAINING)
        again, _ = draw_model(RecordingDraws(0, near), SHARED, model)
        assert again == model
