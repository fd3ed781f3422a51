"""Candidates, and how they override training settings."""

import pytest

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.candidate import Candidate, Origin
from pipeline.params import AugmentationParams, Block, Head, TrainingParams
from pipeline.params_file import ParamsError

ARCHITECTURE = Architecture(input_shape=(8, 8, 1), classes=2, blocks=(Block(filters=4),), head=Head())
AMOUNTS = {"flip": "horizontal", "shift": 0.2, "rotate": 30.0, "zoom": 0.1, "noise": 0.5}
TRAINING = TrainingParams.model_validate(
    {
        "epochs": 3, "batch_size": 16, "optimizer": "adam", "learning_rate": 0.01, "schedule": "constant",
        "momentum": 0.9, "weight_decay": 0.0, "loss": "cross_entropy",
        "average_weights": False, "first_layer": "random", "label_smoothing": 0.0,
        "class_weight": "none",
        "patience": None, "precision": "float32", "threads": 1, "gpus": 1, "augmentation": AMOUNTS | {"strength": 1.0},
    }
)  # fmt: skip


def candidate(**training: float | str) -> Candidate:
    return Candidate(architecture=ARCHITECTURE, training=training)


def test_settings_of_a_candidate_override_those_of_params() -> None:
    overlaid = candidate(learning_rate=0.1, augmentation_strength=2.0).overlay(TRAINING)
    augmentation = TRAINING.augmentation.model_copy(update={"strength": 2.0})
    assert overlaid == TRAINING.model_copy(update={"learning_rate": 0.1, "augmentation": augmentation})
    assert candidate().overlay(TRAINING) == TRAINING


def test_an_invalid_setting_is_reported() -> None:
    with pytest.raises(ParamsError, match=r"candidate: training: augmentation\.strength: .*, got -1\.0"):
        candidate(augmentation_strength=-1.0).overlay(TRAINING)


def test_a_digest_depends_on_architecture_and_settings_but_not_on_the_origin() -> None:
    tuned = candidate(learning_rate=0.1)
    origin = Origin(study="study", trial=3, val_accuracy=0.9)
    assert len(tuned.digest) == 16
    assert tuned.model_copy(update={"origin": origin}).digest == tuned.digest
    other = ARCHITECTURE.model_copy(update={"classes": 3})
    assert len({tuned.digest, candidate().digest, tuned.model_copy(update={"architecture": other}).digest}) == 3


@pytest.mark.parametrize(
    ("strength", "scaled"),
    [
        (0.0, {"shift": 0.0, "rotate": 0.0, "zoom": 0.0, "noise": 0.0}),
        (0.5, {"shift": 0.1, "rotate": 15.0, "zoom": 0.05, "noise": 0.25}),
        (1.0, AMOUNTS),
        (100.0, {"shift": 0.99, "rotate": 180.0, "zoom": 0.99, "noise": 50.0}),
    ],
)
def test_amounts_are_scaled_within_their_limits(strength: float, scaled: dict[str, float]) -> None:
    applied = AugmentationParams.model_validate(AMOUNTS | {"strength": strength}).scaled()
    assert applied == AugmentationParams.model_validate(AMOUNTS | scaled | {"strength": 1.0})
    assert applied.scaled() == applied
