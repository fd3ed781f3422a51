"""Trained networks with their classes and their out-of-distribution detector."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data.dataset import Dataset
from pipeline.data.value_range import ValueRange
from pipeline.evaluation.ood import OODDetector, fit_ood_detector, write_ood_detector
from pipeline.inference.classifier import OOD_DETECTOR, Classifier, lineage, read_classifier
from pipeline.interpretation.network_outputs import NetworkOutputs

DARK, BRIGHT, STRIPES = np.zeros((4, 4, 1)), np.full((4, 4, 1), 250.0), np.zeros((4, 4, 1))
STRIPES[:2] = 250.0


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that classifies 4×4 grayscale images as dark or bright."""
    import keras

    from pipeline.cnn.keras_file import save_model

    model = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")]
    )
    weights = np.stack([np.full(16, -0.01), np.full(16, 0.01)], axis=1).astype(np.float32)
    model.layers[-1].set_weights([weights, np.array([20.0, -20.0], np.float32)])
    path = tmp_path_factory.mktemp("network") / "model.keras"
    save_model(model, path, ("dark", "bright"))
    return path


@pytest.fixture
def folder(tmp_path: Path, network: Path) -> Path:
    """A folder with the network."""
    (tmp_path / network.name).write_bytes(network.read_bytes())
    return tmp_path


def detector(network: Path, of: str | None = None) -> OODDetector:
    """A detector to which only evenly dark or bright images are familiar."""
    from pipeline.cnn.keras_file import load_model, model_digest

    pixels = np.random.default_rng(0).normal(100.0, 1.0, (50, 16))
    seen = NetworkOutputs(pixels, np.zeros((50, 2)))
    digest = model_digest(load_model(network)) if of is None else of
    return fit_ood_detector(digest, seen, np.zeros(50, int), [seen], "features", 0.05)


def unfamiliar(classifier: Classifier) -> list[bool] | None:
    """Whether a bright and a striped image are unfamiliar."""
    found = classifier.classify(np.stack([BRIGHT, STRIPES])).unfamiliar
    return None if found is None else found.tolist()


def test_a_network_without_a_detector_only_classifies(folder: Path) -> None:
    classifier = read_classifier(folder / "model.keras")
    assert (classifier.classes, classifier.input_shape) == (("dark", "bright"), (4, 4, 1))
    found = classifier.classify(np.stack([DARK, BRIGHT]))
    assert found.probabilities.argmax(axis=1).tolist() == [0, 1]
    assert found.probabilities.sum(axis=1) == pytest.approx([1.0, 1.0])
    assert found.unfamiliar is None


def test_a_detector_next_to_the_network_marks_unfamiliar_images(folder: Path, network: Path) -> None:
    write_ood_detector(detector(network), folder / OOD_DETECTOR)
    assert unfamiliar(read_classifier(folder / "model.keras")) == [False, True]


def write_former(detector: OODDetector, path: Path) -> None:
    """Write a detector as older versions did."""
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in asdict(detector).items()}
    arrays["false_alarms"] = arrays.pop("false_positive_rate")
    np.savez(path, **arrays)


def test_the_detector_of_an_older_version_is_read(folder: Path, network: Path) -> None:
    write_former(detector(network), folder / "familiarity.npz")
    classifier = read_classifier(folder / "model.keras")
    assert classifier.ood_detector is not None
    assert classifier.ood_detector.false_positive_rate == 0.05
    assert unfamiliar(classifier) == [False, True]


def test_a_new_detector_is_used_instead_of_an_older_one(folder: Path, network: Path) -> None:
    write_former(detector(network, of="another network"), folder / "familiarity.npz")
    write_ood_detector(detector(network), folder / OOD_DETECTOR)
    assert unfamiliar(read_classifier(folder / "model.keras")) == [False, True]


def test_a_detector_can_be_in_another_folder(folder: Path, network: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "elsewhere" / "detector.npz"
    write_ood_detector(detector(network), path)
    assert unfamiliar(read_classifier(folder / "model.keras", path)) == [False, True]
    assert unfamiliar(read_classifier(folder / "model.keras", path.with_name("missing.npz"))) is None


def test_the_detector_of_another_network_is_not_used(folder: Path, network: Path) -> None:
    write_ood_detector(detector(network, of="another network"), folder / OOD_DETECTOR)
    assert unfamiliar(read_classifier(folder / "model.keras")) is None


def test_networks_are_comparable_if_they_share_classes_input_and_value_range() -> None:
    dataset = Dataset(
        name="one", input_shape=(4, 4, 1), dtype="uint8", classes=("dark", "bright"), counts={}, mean=(0.0,),
        std=(1.0,), digests={}, duplicates={}, skipped=(),
    )  # fmt: skip
    assert lineage(dataset) == lineage(dataset.model_copy(update={"name": "two", "mean": (3.0,)}))
    others = (
        {"classes": ("bright", "dark")},
        {"input_shape": (4, 4, 3)},
        {"value_range": ValueRange(white=1.0)},
        {"value_range": None},
    )
    assert len({lineage(dataset), *(lineage(dataset.model_copy(update=each)) for each in others)}) == 5
