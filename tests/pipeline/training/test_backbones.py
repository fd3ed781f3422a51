"""Training of a network with a backbone."""

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.keras_file import load_model, model_digest, save_model
from pipeline.errors import UserError
from pipeline.trainers import cache
from pipeline.trainers.cache import TRAINER_CACHE
from pipeline.training.fingerprint import training_key
from pipeline.training.fit import Fit, fit
from tests.pipeline.backbones.files import architecture, random_network, save_random_weights
from tests.pipeline.training.trainings import EVERY_AUGMENTATION, figures, training

DATA = figures(train=48, val=24)
FEW = {"epochs": 2, "average_weights": True, "augmentation": EVERY_AUGMENTATION}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.weights.h5"
    save_random_weights(path)
    return path


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail on every attempt to open a connection."""

    def refuse(*given: Any) -> None:
        raise AssertionError(f"a connection to {given[1:]}")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def changed(fitted: Fit) -> set[str]:
    """Layers of the backbone whose weights differ from those of the file."""
    given, found = random_network("mobilenet", 0.25), fitted.model()
    return {
        layer.name
        for layer in given.layers
        if layer.weights
        and not all(map(np.array_equal, layer.get_weights(), found.get_layer(layer.name).get_weights()))
    }


@pytest.mark.slow
def test_a_frozen_backbone_keeps_its_weights_and_the_head_learns(file: Path, tmp_path: Path) -> None:
    frozen = architecture(weights=str(file))
    settings = training(**FEW)
    untrained, fitted = fit(frozen, settings, DATA, seed=1, until=0), fit(frozen, settings, DATA, seed=1)
    assert changed(fitted) == set()
    start, end = (each.model().get_layer("scores").get_weights() for each in (untrained, fitted))
    assert not np.array_equal(start[0], end[0])
    save_model(fitted.model(), tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert model_digest(loaded) == model_digest(fitted.model())
    images = np.asarray(DATA.val.images, np.float32)
    accuracy = (np.asarray(loaded.predict_on_batch(images)).argmax(axis=1) == DATA.val.labels).mean()
    assert accuracy == pytest.approx(max(entry.val_accuracy for entry in fitted.history))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fine_tune", "expected"),
    [("last", {"conv_dw_12", "conv_pw_12", "conv_dw_13", "conv_pw_13"}), ("all", None)],
)
def test_fine_tuning_changes_convolutions_but_not_the_normalizations(
    fine_tune: str, expected: set[str] | None, file: Path
) -> None:
    layers = changed(fit(architecture(weights=str(file), fine_tune=fine_tune), training(**FEW), DATA, seed=1))
    assert layers == expected if expected else len(layers) == 27
    assert not any("bn" in layer for layer in layers)


@pytest.mark.slow
@pytest.mark.parametrize("fine_tune", ["none", "all"])
def test_training_is_repeatable_and_resumes_with_the_same_bytes(fine_tune: str, file: Path) -> None:
    described, settings = architecture(weights=str(file), fine_tune=fine_tune), training(**FEW)
    whole = fit(described, settings, DATA, seed=1)
    again = fit(described, settings, DATA, seed=1)  # with the trainer of the first training
    first = fit(described, settings, DATA, seed=1, until=1)
    TRAINER_CACHE.clear()
    resumed = fit(described, settings, DATA, seed=1, state=first.state)
    assert again.state == whole.state
    assert resumed.state == whole.state


@pytest.mark.slow
def test_random_initial_weights_are_trained_with_their_normalizations() -> None:
    """The statistics follow within a few steps, unlike those of keras.applications."""
    fitted = fit(architecture(fine_tune="all"), training(epochs=2), DATA, seed=1)
    moving = fitted.model().get_layer("conv1_bn").moving_variance
    assert np.abs(np.asarray(moving) - 1.0).max() > 0.1


def test_the_key_of_a_training_depends_on_the_weights_and_on_the_range_of_values(file: Path) -> None:
    described, settings = architecture(weights=str(file)), training(**FEW)
    assert described.backbone is not None
    other = described.model_copy(update={"backbone": described.backbone.model_copy(update={"sha256": "0" * 64})})
    wide = DATA.dataset.model_copy(update={"value_range": DATA.dataset.value_range.model_copy(update={"white": 300.0})})

    def key(architecture: Architecture, data: Any = DATA) -> str:
        return training_key(architecture, settings, data, seed=1)

    keys = [key(described), key(other), key(described, type(DATA)(wide, DATA.train, DATA.val))]
    assert len(set(keys)) == 3


def test_a_file_that_changed_since_the_search_is_refused(file: Path, tmp_path: Path) -> None:
    (path := tmp_path / "small.weights.h5").write_bytes(file.read_bytes())
    described = architecture(weights=str(path))
    save_random_weights(path, seed=2)
    with pytest.raises(UserError, match="that the study was run with, got"):
        fit(described, training(**FEW), DATA, seed=1)


def test_jax_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "backend_name", lambda: "jax")
    with pytest.raises(UserError, match=r"model\.backbone: requires KERAS_BACKEND tensorflow or torch, got jax"):
        fit(architecture(fine_tune="all"), training(), DATA, seed=1)


def test_bfloat16_is_refused() -> None:
    with pytest.raises(UserError, match=r"must be auto or float32 for model\.backbone, got bfloat16"):
        fit(architecture(fine_tune="all"), training(precision="bfloat16"), DATA, seed=1)


def test_several_gpus_are_refused() -> None:
    with pytest.raises(UserError, match=r"training\.gpus: must be 1 for model\.backbone, got 2"):
        fit(architecture(fine_tune="all"), training(gpus=2), DATA, seed=1)
