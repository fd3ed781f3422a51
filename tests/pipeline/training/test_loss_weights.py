"""Weights of the training samples: how much each counts in the loss."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline import prepare
from pipeline.backend.predictor import predict_probabilities
from pipeline.cnn.architecture import Architecture
from pipeline.data.split import Split, make_split
from pipeline.data.training_data import TrainingData, read_training_data
from pipeline.params import Head
from pipeline.trainers import cache
from pipeline.trainers.cache import TrainerCache
from pipeline.trainers.trainer import Plan
from pipeline.training.fingerprint import training_key
from pipeline.training.fit import Fit, fit
from pipeline.training.loss_weights import mean_weights
from pipeline.training.state import unpack
from tests.pipeline.param_sections import data_params, params_with
from tests.pipeline.training.trainings import training, with_dataset

LINEAR = Architecture(input_shape=(2, 2, 1), classes=2, blocks=(), head=Head())
# With this learning rate no weight changes: the returned network equals the initial one.
FROZEN = {"learning_rate": 1e-30, "optimizer": "sgd", "momentum": 0.0, "epochs": 1}
VAL = make_split("val", np.random.default_rng(1).normal(size=(12, 2, 2, 1)).astype(np.float32), np.arange(12) % 2)


def data_of(images: np.ndarray, labels: np.ndarray, weights: Any = None) -> TrainingData:
    given = None if weights is None else np.asarray(weights, np.float32)
    return with_dataset(make_split("train", images.astype(np.float32), labels, weights=given), VAL)


def points(weights: Any = None) -> TrainingData:
    """Forty points, a quarter of which belong to the second class."""
    labels = (np.arange(40) % 4 == 0).astype(np.int64)
    return data_of(np.random.default_rng(2).normal(labels[:, None, None, None], 1.0, (40, 2, 2, 1)), labels, weights)


def train(data: TrainingData, **settings: Any) -> Fit:
    return fit(LINEAR, training(**settings), data, seed=1)


def probabilities(fitted: Fit, split: Split) -> np.ndarray:
    return predict_probabilities(fitted.model(), split.images, 64)


@pytest.mark.slow
@pytest.mark.parametrize("trusted", [0, 1])
def test_weights_of_a_manifest_decide_between_contradictory_labels(tmp_path: Path, trusted: int) -> None:
    """Each training image is listed with both labels. One label of each validation image is trusted."""
    for number, pixels in enumerate(np.random.default_rng(3).integers(0, 256, (28, 2, 2), dtype=np.uint8)):
        for label in range(2):
            Image.fromarray(pixels).save(tmp_path / f"{number} {label}.png")
    data = data_params(source=f"images:{tmp_path / 'mine.csv'}")
    for weight, decides in ((3.0, True), (0.5, False)):
        rows = [f"{number} {label}.png,{label},train,{weight if label == trusted else 0.5}\n"
                for number in range(16) for label in range(2)]  # fmt: skip
        labels = [trusted] * 10 + [1 - trusted] * 2
        rows += [f"{16 + number} {label}.png,{label},val,1\n" for number, label in enumerate(labels)]
        rows += [f"{16 + number} {1 - label}.png,{1 - label},test,1\n" for number, label in enumerate(labels)]
        (tmp_path / "mine.csv").write_text(f"path,label,split,weight\n{''.join(rows)}", encoding="utf-8")
        prepare.run(params_with(data=data), prepare.Paths(tmp_path / "data" / "prepared", tmp_path / "reports"))
        prepared = read_training_data(tmp_path / "data" / "prepared")
        predicted = probabilities(train(prepared, epochs=30, learning_rate=0.1), prepared.train)
        assert (predicted[:, trusted].min() > 0.7) == decides


@pytest.mark.parametrize("settings", [{}, {"class_weight": "balanced", "average_weights": True}])
def test_equal_weights_give_the_network_of_no_weights(settings: dict[str, Any]) -> None:
    plain, weighted = (train(each, **settings) for each in (points(), points(np.full(40, 0.3))))
    assert weighted.history == plain.history
    for one, other in zip(unpack(weighted.state).trainer, unpack(plain.state).trainer, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("class_weight", ["none", "balanced"])
def test_a_sample_of_weight_2_counts_like_two_samples(class_weight: str) -> None:
    """The batch is the whole split."""
    once = points(np.where(np.arange(40) < 10, 2.0, 1.0))
    places = np.concatenate([np.arange(40), np.arange(10)])
    twice = TrainingData(once.dataset, make_split("train", once.train.images[places], once.train.labels[places]), VAL)
    settings = {"batch_size": 64, "optimizer": "sgd", "learning_rate": 0.5, "class_weight": class_weight}
    networks = [train(each, **settings).model().get_weights() for each in (once, twice)]
    for one, other in zip(*networks, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_only_the_training_loss_is_weighted() -> None:
    weights = np.linspace(0.5, 4.5, 40)
    plain, data = train(points(), **FROZEN), points(weights)
    fitted = train(data, **FROZEN)
    losses = -np.log(probabilities(fitted, data.train)[np.arange(40), data.train.labels])
    (entry,) = fitted.history
    assert entry.loss == pytest.approx(np.average(losses, weights=weights), rel=1e-5)
    assert entry.loss != pytest.approx(plain.history[0].loss, rel=1e-2)
    assert entry.accuracy == plain.history[0].accuracy
    assert (entry.val_loss, entry.val_accuracy) == (plain.history[0].val_loss, plain.history[0].val_accuracy)


def test_weights_are_part_of_the_training_key() -> None:
    keys = {training_key(LINEAR, training(), points(each), 1) for each in (None, np.ones(40), np.arange(1, 41))}
    assert len(keys) == 3


def test_trainings_with_other_weights_share_a_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[bool] = []
    make = cache.make_trainer

    def record(plan: Plan) -> Any:
        built.append(plan.weighted)
        return make(plan)

    def last(data: TrainingData) -> list[np.ndarray]:
        return list(unpack(train(data, epochs=1).state).trainer)

    monkeypatch.setattr(cache, "make_trainer", record)
    monkeypatch.setattr("pipeline.training.fit.TRAINER_CACHE", TrainerCache())
    some, other = points(np.arange(1, 41)), points(np.arange(41, 1, -1))
    first, without, second, again = last(some), last(points()), last(other), last(some)
    assert built == [True, False]
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert not np.array_equal(first[0], second[0])
    assert not np.array_equal(first[0], without[0])


def test_the_mean_weight_of_a_class_includes_the_weights_of_its_samples() -> None:
    labels = np.array([0, 0, 1])
    train = Split("train", np.zeros((3, 2)), labels, "", weights=np.array([1, 3, 2], np.float32))
    assert mean_weights("none", train, 3) == pytest.approx(np.array([1, 1, 0]))
    assert mean_weights("balanced", train, 2) == pytest.approx(np.array([0.75, 1.5]))
    assert mean_weights("none", Split("train", np.zeros((3, 2)), labels, ""), 2) is None
