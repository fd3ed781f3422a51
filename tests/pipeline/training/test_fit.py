"""The training loop."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from pipeline.backend import precision
from pipeline.backend.predictor import predict_probabilities
from pipeline.cnn.architecture import Architecture
from pipeline.data.split import Split, make_split
from pipeline.data.training_data import TrainingData
from pipeline.params import Block, Head
from pipeline.trainers import cache as trainers
from pipeline.trainers.cache import MAX_CACHED, TrainerCache
from pipeline.trainers.trainer import Plan
from pipeline.training.epoch_order import order_of_epoch
from pipeline.training.fingerprint import training_key
from pipeline.training.fit import Diverged, Fit, fit
from pipeline.training.state import StateError
from tests.pipeline.training.trainings import (
    EVERY_AUGMENTATION,
    PLAIN,
    RANDOM,
    ROOT,
    figures,
    training,
    with_dataset,
)

DATA = figures()


HARD = figures(hard=True)


# With this learning rate no weight changes: the returned network equals the initial one.
FROZEN = {"learning_rate": 1e-30, "optimizer": "sgd", "momentum": 0.0, "epochs": 1}


def train(
    architecture: Architecture = PLAIN, data: Any = DATA, seed: int = 1, shares: Any = None, **settings: Any
) -> Fit:
    return fit(architecture, training(**settings), data, seed=seed, shares=shares)


def probabilities(fitted: Fit, split: Split) -> np.ndarray:
    return predict_probabilities(fitted.model(), split.images, 64)


def same_weights(one: Fit, other: Fit) -> bool:
    pairs = zip(one.model().get_weights(), other.model().get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


@pytest.fixture(scope="module")
def plain() -> Fit:
    """Three epochs in which only the initial weights and the order of images are random."""
    return train()


@pytest.fixture(scope="module")
def randomized() -> Fit:
    """Three epochs with dropout, batch normalization and every augmentation."""
    return train(RANDOM, augmentation=EVERY_AUGMENTATION)


@pytest.mark.slow
def test_equal_seeds_produce_the_same_state_and_network(randomized: Fit) -> None:
    again = train(RANDOM, augmentation=EVERY_AUGMENTATION)
    assert again.state == randomized.state
    assert again.history == randomized.history
    assert same_weights(again, randomized)


@pytest.mark.skipif(not precision.has_bfloat16(), reason="the processor lacks bfloat16")
def test_training_in_bfloat16_repeats_and_continues_bit_for_bit() -> None:
    """As with `precision: auto` for networks that are large enough."""
    block = Block(filters=32, normalization="batch", dropout=0.2)
    wide = RANDOM.model_copy(update={"blocks": (block, block)})
    settings = training(precision="bfloat16", augmentation=EVERY_AUGMENTATION, average_weights=True)
    whole = fit(wide, settings, DATA, seed=1)
    again = fit(wide, settings, DATA, seed=1)
    resumed = fit(wide, settings, DATA, seed=1, state=fit(wide, settings, DATA, seed=1, until=2).state)
    assert whole.state == again.state == resumed.state
    assert whole.history == again.history == resumed.history
    assert same_weights(whole, again)
    assert same_weights(whole, resumed)


@pytest.mark.slow
def test_another_seed_produces_another_network(plain: Fit) -> None:
    other = train(seed=2)
    assert other.history[0].loss != plain.history[0].loss
    assert not same_weights(other, plain)


@pytest.mark.slow
@pytest.mark.parametrize("residual", [False, True])
def test_1x1_convolutions_with_one_channel_can_be_trained(residual: bool) -> None:
    """With TensorFlow's default graph optimizer, oneDNN fails on them."""
    block = Block(
        filters=1, convs=3, kernel_size=1, convolution="separable", activation="silu", residual=residual, pooling="none"
    )
    grey = Architecture(input_shape=(*PLAIN.input_shape[:-1], 1), classes=PLAIN.classes, blocks=(block,), head=Head())
    dataset, train_split, val = DATA.dataset, DATA.train, DATA.val
    first = [make_split(each.name, np.asarray(each.images)[..., :1], each.labels) for each in (train_split, val)]
    grey_dataset = dataset.model_copy(
        update={"input_shape": grey.input_shape, "mean": dataset.mean[:1], "std": dataset.std[:1]}
    )
    fitted = train(grey, TrainingData(grey_dataset, *first), epochs=1)
    assert probabilities(fitted, first[1]).shape == (len(val.labels), grey.classes)


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        (
            RANDOM,
            {
                "optimizer": "adam",
                "augmentation": EVERY_AUGMENTATION,
                "average_weights": True,
                "first_layer": "whitening",
            },
        ),
        (PLAIN, {"optimizer": "sgd", "schedule": "one_cycle", "weight_decay": 0.001}),
        (PLAIN, {"optimizer": "adamw", "schedule": "cosine", "weight_decay": 0.01}),
    ],
    ids=["adam", "sgd", "adamw"],
)
@pytest.mark.slow
def test_training_in_rungs_equals_uninterrupted_training(architecture: Architecture, settings: dict[str, Any]) -> None:
    uninterrupted = train(architecture, **settings)
    first = fit(architecture, training(**settings), DATA, seed=1, until=1)
    assert len(first.history) == 1
    second = fit(architecture, training(**settings), DATA, seed=1, state=first.state, until=3)
    assert second.state == uninterrupted.state
    assert second.history == uninterrupted.history
    assert same_weights(second, uninterrupted)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The plans of the trainers that are built, instead of taken from a cache that is empty at first."""
    plans: list[Plan] = []
    make = trainers.make_trainer

    def record(plan: Plan) -> Any:
        plans.append(plan)
        return make(plan)

    monkeypatch.setattr(trainers, "make_trainer", record)
    monkeypatch.setattr("pipeline.training.fit.TRAINER_CACHE", TrainerCache())
    return plans


@pytest.mark.slow
def test_a_cached_trainer_and_a_new_one_continue_a_rung_identically(
    built: list[Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fit(RANDOM, training(), DATA, seed=1, until=1)
    warm = fit(RANDOM, training(), DATA, seed=1, state=first.state, until=2)
    again = fit(RANDOM, training(), DATA, seed=1, until=1)  # from the start, with a trainer that has trained
    assert len(built) == 1
    monkeypatch.setattr("pipeline.training.fit.TRAINER_CACHE", TrainerCache())
    cold = fit(RANDOM, training(), DATA, seed=1, state=first.state, until=2)
    assert len(built) == 2
    assert warm.state == cold.state
    assert again.state == first.state


@pytest.mark.slow
def test_trainings_that_differ_in_seed_and_learning_rate_share_a_trainer(
    built: list[Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = training(learning_rate=0.02, schedule="cosine", epochs=2)
    fit(RANDOM, training(), DATA, seed=1, until=1)
    shared = fit(RANDOM, changed, DATA, seed=2)
    assert len(built) == 1
    monkeypatch.setattr("pipeline.training.fit.TRAINER_CACHE", TrainerCache())
    assert fit(RANDOM, changed, DATA, seed=2).state == shared.state
    fit(PLAIN, changed, DATA, seed=2)
    fit(RANDOM, training(batch_size=32), DATA, seed=1, until=1)
    assert len(built) == 4


def test_the_trainer_cache_is_bounded(built: list[Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainers, "make_trainer", lambda plan: built.append(plan) or object())
    cache = TrainerCache()
    shared = {"training": training(), "dataset": DATA.dataset, "class_weights": np.ones(2, np.float32), "seed": 1}
    sizes = range(1, MAX_CACHED + 2)
    plans = [
        Plan(Architecture(input_shape=(size, size, 1), classes=2, blocks=(), head=Head()),
             learning_rates=np.ones(1, np.float32), **shared)  # type: ignore[arg-type]
        for size in sizes
    ]  # fmt: skip
    made = [cache.get(plan) for plan in plans]
    assert [cache.get(plan) is trainer for plan, trainer in zip(plans[1:], made[1:], strict=True)] == [
        True
    ] * MAX_CACHED
    assert cache.get(plans[0]) is not made[0]


SHARES = (0.3, 1.0, 0.55)


@pytest.mark.slow
def test_training_in_rungs_with_shares_equals_uninterrupted_training() -> None:
    settings = training(augmentation=EVERY_AUGMENTATION, schedule="one_cycle")

    def rung(until: int, state: bytes | None = None) -> Fit:
        return fit(RANDOM, settings, DATA, seed=1, shares=SHARES, state=state, until=until)

    uninterrupted = rung(3)
    for stop in (1, 2):
        assert rung(3, rung(stop).state).state == uninterrupted.state
    assert uninterrupted.state != train(RANDOM, augmentation=EVERY_AUGMENTATION, schedule="one_cycle").state


def test_shares_of_one_equal_no_shares(plain: Fit) -> None:
    assert train(shares=[1, 1.0, 1.0]).state == plain.state


def test_shares_are_part_of_the_training_key() -> None:
    def key(shares: Any) -> str:
        return training_key(PLAIN, training(), DATA, 1, shares)

    assert key(None) == training_key(PLAIN, training(), DATA, 1) == key((1.0, 1.0, 1.0))
    assert len({key(None), key(SHARES), key(SHARES[::-1])}) == 3


def test_the_compute_dtype_is_part_of_the_training_key(monkeypatch: pytest.MonkeyPatch) -> None:
    large = PLAIN.model_copy(update={"blocks": (Block(filters=64), Block(filters=64))})
    keys = {}
    for instructions in (False, True):
        monkeypatch.setattr(precision, "has_bfloat16", lambda found=instructions: found)
        keys[instructions] = [training_key(each, training(precision="auto"), DATA, 1) for each in (large, PLAIN)]
    assert keys[False][0] != keys[True][0]
    assert keys[False][1] == keys[True][1], "a small network is trained in float32 anyway"


def test_a_state_with_other_shares_is_refused(plain: Fit) -> None:
    with pytest.raises(StateError, match="must be from the training with the same architecture"):
        fit(PLAIN, training(), DATA, seed=1, shares=SHARES, state=plain.state)


@pytest.mark.parametrize("shares", [(), (0.5, 0.5), (0.5, 0.5, 0.0), (0.5, 0.5, 1.1), (0.5, 0.5, float("nan"))])
def test_invalid_shares_are_refused(shares: Any) -> None:
    with pytest.raises(ValueError, match=r"must contain 3 numbers greater than 0 and at most 1, one for each epoch"):
        train(shares=shares)


def test_an_epoch_uses_the_first_images_of_its_own_order() -> None:
    data = rare_circles(50, 20)
    fitted = train(POINTS, data, shares=(0.23, 0.5), **FROZEN | {"epochs": 2})
    losses = -np.sum(one_hot(data.train) * np.log(probabilities(fitted, data.train)), axis=1)
    for entry, taken in zip(fitted.history, (12, 25), strict=True):  # 0.23 × 50 = 11.5
        order = order_of_epoch(1, entry.epoch, 50, 50)[:taken]
        assert entry.loss == pytest.approx(np.mean(losses[order]), rel=1e-5)
    assert set(order_of_epoch(1, 1, 50, 12)) != set(order_of_epoch(1, 2, 50, 12))


@pytest.mark.slow
def test_the_state_after_an_epoch_equals_that_of_a_rung_ending_there(plain: Fit) -> None:
    states: list[bytes] = []
    rung = fit(PLAIN, training(), DATA, seed=1, until=2, on_epoch=lambda *epoch: states.append(epoch[2]()))
    assert states[-1] == rung.state
    assert states[0] != rung.state


SCRIPT = """
import sys
from pathlib import Path
from pipeline.backend.runtime import start_backend
start_backend()
from pipeline.training.fit import fit
from tests.pipeline.training.trainings import EVERY_AUGMENTATION, RANDOM, figures, training

def rung(name, until, state=None):
    settings = training(augmentation=EVERY_AUGMENTATION)
    fitted = fit(RANDOM, settings, figures(), seed=1, state=state, until=until)
    Path(sys.argv[1], name).write_bytes(fitted.state)

"""


def run_in_subprocess(folder: Path, lines: str) -> None:
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [sys.executable, "-c", SCRIPT + lines, str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_training_resumed_in_another_process_equals_uninterrupted_training(tmp_path: Path) -> None:
    run_in_subprocess(tmp_path, "rung('first', 1); rung('uninterrupted', 3)")
    run_in_subprocess(tmp_path, "rung('second', 3, Path(sys.argv[1], 'first').read_bytes())")
    assert (tmp_path / "second").read_bytes() == (tmp_path / "uninterrupted").read_bytes()


@pytest.fixture(scope="module")
def stopped() -> Fit:
    """Training on labels that cannot be learned, stopped early after a few epochs."""
    return train(data=HARD, patience=3, epochs=40)


def test_training_stops_when_patience_is_exhausted(stopped: Fit) -> None:
    assert stopped.stopped_early
    assert len(stopped.history) == stopped.best_epoch + 3 < 40


def test_training_that_stopped_early_does_not_continue(stopped: Fit) -> None:
    again = fit(PLAIN, training(patience=3, epochs=40), HARD, seed=1, state=stopped.state)
    assert again.history == stopped.history
    assert again.stopped_early


def test_the_network_has_the_weights_of_the_best_epoch(stopped: Fit) -> None:
    best, val = stopped.history[stopped.best_epoch - 1], HARD.val
    assert best.val_accuracy == max(entry.val_accuracy for entry in stopped.history)
    predictions = probabilities(stopped, val)
    assert np.mean(predictions.argmax(axis=1) == val.labels) == best.val_accuracy
    assert -np.mean(np.log(predictions[np.arange(len(val.labels)), val.labels])) == pytest.approx(
        best.val_loss, rel=1e-5
    )
    predicted = predictions.argmax(axis=1)
    assert best.val_macro_f1 == pytest.approx(f1_score(val.labels, predicted, average="macro"))
    assert best.val_balanced_accuracy == pytest.approx(balanced_accuracy_score(val.labels, predicted))


@pytest.mark.slow
def test_divergence_is_reported_with_the_epoch_and_a_remedy() -> None:
    with pytest.raises(Diverged, match=r"epoch \d+: the .* loss must be a finite number, got .*; lower training"):
        train(learning_rate=1e3, optimizer="sgd")


def one_hot(split: Split) -> np.ndarray:
    return np.eye(2)[split.labels]


def rare_circles(train: int, val: int) -> Any:
    """Two overlapping clusters of points; one training image in ten belongs to the second."""
    draw = np.random.default_rng(3)

    def split(name: Any, labels: np.ndarray) -> Split:
        images = draw.normal(labels[:, None, None, None] * 0.5, 1.0, (len(labels), 2, 2, 1)).astype(np.float32)
        return make_split(name, images, labels)

    return with_dataset(split("train", (np.arange(train) % 10 == 0).astype(np.int64)), split("val", np.arange(val) % 2))


POINTS = Architecture(input_shape=(2, 2, 1), classes=2, blocks=(), head=Head())


@pytest.mark.parametrize("setting", ["plain", "label_smoothing", "squared_error", "balanced"])
def test_the_configured_loss_is_used(setting: str) -> None:
    changes = {
        "plain": {},
        "label_smoothing": {"label_smoothing": 0.2},
        "squared_error": {"loss": "squared_error"},
        "balanced": {"class_weight": "balanced"},
    }[setting]
    data = rare_circles(50, 20)
    fitted = train(POINTS, data, **FROZEN, **changes)
    predictions, target, weights = probabilities(fitted, data.train), one_hot(data.train), np.ones(50)
    if setting == "label_smoothing":
        target = target * 0.8 + 0.1
    if setting == "balanced":  # both classes have half of the weight: 45 and 5 images
        weights = np.where(data.train.labels == 1, 25 / 5, 25 / 45)
    losses = -np.sum(target * np.log(predictions), axis=1)
    if setting == "squared_error":
        losses = np.mean((predictions - target) ** 2, axis=1)
    assert fitted.history[0].loss == pytest.approx(np.mean(weights * losses), rel=1e-5)
    assert fitted.history[0].accuracy == pytest.approx(np.mean(predictions.argmax(axis=1) == data.train.labels))


def test_the_validation_loss_uses_neither_smoothing_nor_class_weights() -> None:
    data = rare_circles(50, 20)
    fitted = train(POINTS, data, **FROZEN, label_smoothing=0.2, class_weight="balanced")
    losses = -np.sum(one_hot(data.val) * np.log(probabilities(fitted, data.val)), axis=1)
    assert fitted.history[0].val_loss == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.slow
def test_balanced_class_weights_raise_the_recall_of_a_rare_class() -> None:
    data = rare_circles(300, 200)
    recall = {}
    for weight in ("none", "balanced"):
        fitted = train(POINTS, data, class_weight=weight, epochs=8, learning_rate=0.03)
        predicted = probabilities(fitted, data.val).argmax(axis=1)
        recall[weight] = np.mean(predicted[data.val.labels == 1] == 1)
    assert recall["none"] < 0.3
    assert recall["balanced"] > 0.5


@pytest.mark.slow
def test_automatic_precision_learns_and_returns_a_float32_network() -> None:
    fitted = train(RANDOM, precision="auto", epochs=5)
    assert fitted.history[-1].loss < fitted.history[0].loss
    model = fitted.model()
    assert {weight.dtype for weight in model.get_weights()} == {np.dtype("float32")}
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}


@pytest.mark.slow
def test_a_small_network_learns_to_distinguish_crosses_from_circles() -> None:
    fitted = train(data=figures(train=300, val=100), epochs=6)
    assert fitted.history[fitted.best_epoch - 1].val_accuracy >= 0.97
