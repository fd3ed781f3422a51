"""The trainer of the other backends, here on TensorFlow, trains like the one of TensorFlow."""

import gc
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest

from pipeline.backend import predictor
from pipeline.backend.predictor import predict_probabilities
from pipeline.cnn.build import build
from pipeline.trainers import cache, trainer
from pipeline.trainers.trainer_keras import KerasTrainer
from pipeline.training.fit import fit
from tests.pipeline.training.trainings import EVERY_AUGMENTATION, PLAIN, RANDOM, figures, training, with_weights

DATA = figures(train=70, val=40)
WEIGHTED = with_weights(DATA)

SETTINGS: list[dict[str, Any]] = [
    {"label_smoothing": 0.2, "class_weight": "balanced", "schedule": "cosine"},
    {"loss": "squared_error", "optimizer": "sgd"},
    {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.1, "schedule": "one_cycle"},
    {"optimizer": "adamw", "weight_decay": 0.1},
    {"average_weights": True, "first_layer": "whitening"},
]


@pytest.fixture
def keras_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    trainers = cache.TrainerCache()
    monkeypatch.setattr("pipeline.training.fit.TRAINER_CACHE", trainers)
    monkeypatch.setattr(cache, "make_trainer", KerasTrainer)


@pytest.mark.parametrize("settings", SETTINGS, ids=["adam, weighted", "sgd", "decay", "adamw", "averages"])
@pytest.mark.slow
def test_both_trainers_train_and_evaluate_alike(settings: dict[str, Any], request: pytest.FixtureRequest) -> None:
    data = WEIGHTED if "label_smoothing" in settings else DATA
    expected = fit(PLAIN, training(**settings), data, seed=1, shares=(0.4, 1.0, 1.0))
    request.getfixturevalue("keras_trainer")
    fitted = fit(PLAIN, training(**settings), data, seed=1, shares=(0.4, 1.0, 1.0))
    for entry, other in zip(fitted.history, expected.history, strict=True):
        assert astuple(entry) == pytest.approx(astuple(other), rel=1e-3)


@pytest.mark.usefixtures("keras_trainer")
@pytest.mark.slow
def test_large_splits_are_processed_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = training(epochs=1)
    whole = fit(PLAIN, settings, DATA, seed=1)
    monkeypatch.setattr(trainer, "CHUNK_STEPS", 2)
    parts = fit(PLAIN, settings, DATA, seed=1)
    assert astuple(parts.history[0]) == pytest.approx(astuple(whole.history[0]), rel=1e-6)
    for one, other in zip(parts.model().get_weights(), whole.model().get_weights(), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.usefixtures("keras_trainer")
@pytest.mark.slow
def test_training_in_rungs_equals_uninterrupted_training() -> None:
    settings = training(augmentation=EVERY_AUGMENTATION, average_weights=True)
    uninterrupted = fit(RANDOM, settings, DATA, seed=1)
    first = fit(RANDOM, settings, DATA, seed=1, until=1)
    assert fit(RANDOM, settings, DATA, seed=1, state=first.state).state == uninterrupted.state
    assert fit(RANDOM, settings, DATA, seed=1, until=1).state == first.state  # with a trainer that has trained


def test_keras_predicts_like_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = build(RANDOM, DATA.dataset.mean, DATA.dataset.std), DATA.val.images
    expected = predict_probabilities(model, images, 16)
    monkeypatch.setattr(predictor, "backend_name", lambda: "jax")
    np.testing.assert_allclose(predict_probabilities(model, images, 16), expected, rtol=1e-5)


@pytest.mark.slow
def test_finished_training_leaves_no_graph_in_memory() -> None:
    block = PLAIN.blocks[0].model_copy(update={"activation": "silu"})
    architecture = PLAIN.model_copy(update={"blocks": (block, *PLAIN.blocks[1:])})

    def graphs() -> int:
        cache.TRAINER_CACHE.clear()
        gc.collect()
        return sum(type(each).__name__ == "FuncGraph" for each in gc.get_objects())

    before = graphs()
    for seed in (1, 2):
        fit(architecture, training(epochs=1), DATA, seed=seed)
    assert graphs() <= before
