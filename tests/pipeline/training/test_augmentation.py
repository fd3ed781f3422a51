"""Augmentation changes the training images only."""

from typing import Any

import keras
import numpy as np
import pytest

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.build import build
from pipeline.data.dataset import Kind
from pipeline.data.split import make_split
from pipeline.errors import UserError
from pipeline.params import AugmentationParams, Block, Head
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


@pytest.mark.parametrize(("key", "value"), [("flip", "vertical"), ("flip", "both"), ("rotate", 10.0)])
def test_transformations_that_make_no_sense_for_series_are_refused(key: str, value: object) -> None:
    architecture, data = series()
    with pytest.raises(UserError, match=rf"training\.augmentation\.{key}: does not apply to series; .* noise"):
        train(architecture, data, augmentation=NO_AUGMENTATION | {key: value})


@pytest.mark.parametrize(
    ("kind", "shape", "changes"),
    [
        ("series", (16, 2), {"flip": "horizontal", "shift": 0.1, "zoom": 0.2}),
        ("audio", (16, 6, 1), {"shift": 0.1, "zoom": 0.2}),
        ("volume", (4, 6, 5, 2), {"flip": "both", "shift": 0.1, "rotate": 20.0, "zoom": 0.2}),
    ],
)
def test_keras_layers_augment_each_kind_in_training_only(
    kind: Kind, shape: tuple[int, ...], changes: dict[str, Any]
) -> None:
    params = AugmentationParams.model_validate(NO_AUGMENTATION | changes)
    architecture = Architecture(input_shape=shape, classes=2, blocks=(), head=Head(kind="flatten"))
    channels = shape[-1]
    network = build(architecture, (0.0,) * channels, (1.0,) * channels, augmentation=params, seed=1, kind=kind)
    augmented = keras.Model(network.input, network.get_layer("head_reduce").input)
    samples = np.random.default_rng(1).normal(size=(8, *shape)).astype(np.float32)
    assert np.asarray(augmented(samples, training=False)) == pytest.approx(samples, abs=1e-6)
    changed = np.asarray(augmented(samples, training=True))
    assert changed.shape == samples.shape
    assert np.abs(changed - samples).mean() > 0.05
    if kind == "audio":  # only the time changes: each band keeps its values
        assert changed.mean(axis=(0, 1)) == pytest.approx(samples.mean(axis=(0, 1)), abs=0.3)


def test_series_can_be_augmented_with_noise() -> None:
    architecture, data = series()
    fitted = train(architecture, data, epochs=1, augmentation=NO_AUGMENTATION | {"noise": 0.3})
    assert np.isfinite(fitted.history[0].loss)
