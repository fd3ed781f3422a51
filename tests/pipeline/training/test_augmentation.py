"""Augmentation changes the training images only."""

from typing import Any

import numpy as np
import pytest

from pipeline.cnn.architecture import Architecture
from pipeline.data.split import make_split
from pipeline.errors import UserError
from pipeline.params import Block, Head
from pipeline.training.fit import Fit, fit
from tests.pipeline.training.trainings import (
    EVERY_AUGMENTATION,
    NO_AUGMENTATION,
    PLAIN,
    RANDOM,
    figures,
    training,
    with_dataset,
)

DATA = figures()


# With this learning rate no weight changes: the returned network equals the initial one.
FROZEN = {"learning_rate": 1e-30, "optimizer": "sgd", "momentum": 0.0, "epochs": 1}


def train(
    architecture: Architecture = PLAIN, data: Any = DATA, seed: int = 1, shares: Any = None, **settings: Any
) -> Fit:
    return fit(architecture, training(**settings), data, seed=seed, shares=shares)


@pytest.fixture(scope="module")
def randomized() -> Fit:
    """Three epochs with dropout, batch normalization and every augmentation."""
    return train(RANDOM, augmentation=EVERY_AUGMENTATION)


@pytest.fixture(scope="module")
def frozen() -> Fit:
    return train(**FROZEN)


@pytest.mark.parametrize("kind", ["flip", "shift", "rotate", "zoom", "noise"])
def test_each_augmentation_changes_the_training_images_only(kind: str, frozen: Fit) -> None:
    changed = train(**FROZEN, augmentation=NO_AUGMENTATION | {kind: EVERY_AUGMENTATION[kind]})
    assert changed.history[0].loss != frozen.history[0].loss
    assert changed.history[0].val_loss == frozen.history[0].val_loss


def test_the_returned_network_has_no_augmentation(randomized: Fit) -> None:
    names = [layer.name for layer in randomized.model().layers]
    assert not [name for name in names if "augment" in name]
    assert "block1_conv1" in names


@pytest.mark.slow
def test_every_epoch_draws_a_new_augmentation() -> None:
    settings = {**FROZEN, "epochs": 3}
    losses = {entry.loss for entry in train(**settings, augmentation=NO_AUGMENTATION | {"noise": 0.5}).history}
    assert len(losses) == 3


def series() -> tuple[Architecture, Any]:
    draw = np.random.default_rng(1)
    splits = [
        make_split(name, draw.normal(size=(20, 16, 1)).astype(np.float32), np.arange(20) % 2)
        for name in ("train", "val")
    ]
    return Architecture(input_shape=(16, 1), classes=2, blocks=(Block(filters=2),), head=Head()), with_dataset(*splits)


@pytest.mark.parametrize("kind", ["flip", "shift", "rotate", "zoom"])
def test_geometric_augmentation_of_series_is_refused(kind: str) -> None:
    architecture, data = series()
    with pytest.raises(UserError, match=rf"training\.augmentation\.{kind}: requires images .* got a 1-D grid"):
        train(architecture, data, augmentation=NO_AUGMENTATION | {kind: EVERY_AUGMENTATION[kind]})


def test_series_can_be_augmented_with_noise() -> None:
    architecture, data = series()
    fitted = train(architecture, data, epochs=1, augmentation=NO_AUGMENTATION | {"noise": 0.3})
    assert np.isfinite(fitted.history[0].loss)
