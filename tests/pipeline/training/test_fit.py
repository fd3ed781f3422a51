"""The training loop."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from pipeline.backend.predictor import predict_probabilities
from pipeline.cnn.architecture import Architecture
from pipeline.cnn.build import build
from pipeline.data.split import Split, make_split
from pipeline.params import Block, Head
from pipeline.training.epoch_order import order_of_epoch
from pipeline.training.fingerprint import training_key
from pipeline.training.fit import Diverged, Fit, fit
from pipeline.training.state import StateError
from pipeline.training.trainer import MOST_CACHED, Trainer, TrainerCache
from tests.pipeline.training.trainings import (
    EVERY_AUGMENTATION,
    PLAIN,
    RANDOM,
    ROOT,
    described,
    figures,
    training,
)

DATA = figures()


HARD = figures(hard=True)


# A rate at which no weight moves: the returned network is the one that training began with.
STANDSTILL = {"learning_rate": 1e-30, "optimizer": "sgd", "momentum": 0.0, "epochs": 1}


def train(
    architecture: Architecture = PLAIN, data: Any = DATA, seed: int = 1, shares: Any = None, **settings: Any
) -> Fit:
    return fit(architecture, training(**settings), *data, seed=seed, shares=shares)


def probabilities(fitted: Fit, split: Split) -> np.ndarray:
    return predict_probabilities(fitted.model(), split.images, 64)


def same_weights(one: Fit, other: Fit) -> bool:
    pairs = zip(one.model().get_weights(), other.model().get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


@pytest.fixture(scope="module")
def plain() -> Fit:
    """Three epochs without anything random but the start and the order of images."""
    return train()


@pytest.fixture(scope="module")
def full() -> Fit:
    """Three epochs with dropout, batch normalization and every augmentation."""
    return train(RANDOM, augmentation=EVERY_AUGMENTATION)


@pytest.mark.slow
def test_equal_seeds_give_the_same_state_and_network(full: Fit) -> None:
    again = train(RANDOM, augmentation=EVERY_AUGMENTATION)
    assert again.state == full.state
    assert again.history == full.history
    assert same_weights(again, full)


@pytest.mark.slow
def test_another_seed_gives_another_network(plain: Fit) -> None:
    other = train(seed=2)
    assert other.history[0].loss != plain.history[0].loss
    assert not same_weights(other, plain)


@pytest.mark.slow
@pytest.mark.parametrize("residual", [False, True])
def test_convolutions_of_extent_1_and_one_channel_train(residual: bool) -> None:
    """TensorFlow's graph optimizer, left alone, makes oneDNN fail at them."""
    block = Block(
        filters=1, convs=3, kernel_size=1, convolution="separable", activation="silu", residual=residual, pooling="none"
    )
    grey = Architecture(input_shape=(*PLAIN.input_shape[:-1], 1), classes=PLAIN.classes, blocks=(block,), head=Head())
    dataset, train_split, val = DATA
    first = [make_split(each.name, np.asarray(each.images)[..., :1], each.labels) for each in (train_split, val)]
    described_as_grey = dataset.model_copy(
        update={"input_shape": grey.input_shape, "mean": dataset.mean[:1], "std": dataset.std[:1]}
    )
    fitted = train(grey, (described_as_grey, *first), epochs=1)
    assert probabilities(fitted, first[1]).shape == (len(val.labels), grey.classes)


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        (RANDOM, {"optimizer": "adam", "augmentation": EVERY_AUGMENTATION}),
        (PLAIN, {"optimizer": "sgd", "schedule": "one_cycle", "weight_decay": 0.001}),
        (PLAIN, {"optimizer": "adamw", "schedule": "cosine", "weight_decay": 0.01}),
    ],
    ids=["adam", "sgd", "adamw"],
)
@pytest.mark.slow
def test_rungs_give_what_an_undisturbed_training_gives(architecture: Architecture, settings: dict[str, Any]) -> None:
    undisturbed = train(architecture, **settings)
    first = fit(architecture, training(**settings), *DATA, seed=1, until=1)
    assert len(first.history) == 1
    second = fit(architecture, training(**settings), *DATA, seed=1, state=first.state, until=3)
    assert second.state == undisturbed.state
    assert second.history == undisturbed.history
    assert same_weights(second, undisturbed)


@pytest.mark.slow
def test_a_network_waits_traced_for_its_next_rung_and_a_new_one_gives_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built: list[Architecture] = []

    def note(architecture: Architecture, *arguments: Any, **more: Any) -> Any:
        built.append(architecture)
        return build(architecture, *arguments, **more)

    monkeypatch.setattr("pipeline.training.fit.build", note)
    first = fit(RANDOM, training(), *DATA, seed=1, until=1)
    warm = fit(RANDOM, training(), *DATA, seed=1, state=first.state, until=2)
    assert len(built) == 1
    monkeypatch.setattr("pipeline.training.fit.TRAINER_CACHE", TrainerCache())
    cold = fit(RANDOM, training(), *DATA, seed=1, state=first.state, until=2)
    assert len(built) == 2
    assert warm.state == cold.state
    again = fit(RANDOM, training(), *DATA, seed=1, until=1)  # from the start, although one is warm
    assert len(built) == 3
    assert again.state == first.state


def test_few_networks_wait_at_a_time() -> None:
    warm = TrainerCache()
    trainers = {str(number): Trainer(None, None, None, None) for number in range(MOST_CACHED + 1)}  # type: ignore[arg-type]
    for key, trainer in trainers.items():
        warm.put(key, trainer)
    new = Trainer(None, None, None, None)  # type: ignore[arg-type]
    assert [warm.take(key, lambda: new) is new for key in trainers] == [True] + [False] * MOST_CACHED
    assert warm.take("1", lambda: new) is new  # nobody else gets one that was taken


SHARES = (0.3, 1.0, 0.55)


@pytest.mark.slow
def test_rungs_with_shares_give_what_an_undisturbed_training_gives() -> None:
    settings = training(augmentation=EVERY_AUGMENTATION, schedule="one_cycle")

    def rung(until: int, state: bytes | None = None) -> Fit:
        return fit(RANDOM, settings, *DATA, seed=1, shares=SHARES, state=state, until=until)

    undisturbed = rung(3)
    for stop in (1, 2):
        assert rung(3, rung(stop).state).state == undisturbed.state
    assert undisturbed.state != train(RANDOM, augmentation=EVERY_AUGMENTATION, schedule="one_cycle").state


def test_all_shares_of_one_are_as_no_shares_at_all(plain: Fit) -> None:
    assert train(shares=[1, 1.0, 1.0]).state == plain.state


def test_shares_are_part_of_the_training_s_key() -> None:
    def key(shares: Any) -> str:
        return training_key(PLAIN, training(), *DATA, 1, shares)

    assert key(None) == training_key(PLAIN, training(), *DATA, 1) == key((1.0, 1.0, 1.0))
    assert len({key(None), key(SHARES), key(SHARES[::-1])}) == 3


def test_the_state_of_other_shares_is_refused(plain: Fit) -> None:
    with pytest.raises(StateError, match="must be from the training with the same architecture"):
        fit(PLAIN, training(), *DATA, seed=1, shares=SHARES, state=plain.state)


@pytest.mark.parametrize("shares", [(), (0.5, 0.5), (0.5, 0.5, 0.0), (0.5, 0.5, 1.1), (0.5, 0.5, float("nan"))])
def test_shares_that_are_no_shares_of_each_epoch_are_refused(shares: Any) -> None:
    with pytest.raises(ValueError, match=r"must contain 3 numbers greater than 0 and at most 1, one for each epoch"):
        train(shares=shares)


def test_an_epoch_takes_the_first_images_of_its_own_order() -> None:
    data = rare_circles(50, 20)
    fitted = train(POINTS, data, shares=(0.23, 0.5), **STANDSTILL | {"epochs": 2})
    losses = -np.sum(one_hot(data[1]) * np.log(probabilities(fitted, data[1])), axis=1)
    for entry, taken in zip(fitted.history, (12, 25), strict=True):  # 0.23 × 50 = 11.5
        order = order_of_epoch(1, entry.epoch, 50, 50)[:taken]
        assert entry.loss == pytest.approx(np.mean(losses[order]), rel=1e-5)
    assert set(order_of_epoch(1, 1, 50, 12)) != set(order_of_epoch(1, 2, 50, 12))


@pytest.mark.slow
def test_the_state_told_after_an_epoch_is_that_of_a_rung_which_ends_there(plain: Fit) -> None:
    printed: list[bytes] = []
    rung = fit(PLAIN, training(), *DATA, seed=1, until=2, on_epoch=lambda *epoch: printed.append(epoch[2]()))
    assert printed[-1] == rung.state
    assert printed[0] != rung.state


SCRIPT = """
import sys
from pathlib import Path
from pipeline.backend.runtime import start_backend
start_backend()
from pipeline.training.fit import fit
from tests.pipeline.training.trainings import EVERY_AUGMENTATION, RANDOM, figures, training

def rung(name, until, state=None):
    settings = training(augmentation=EVERY_AUGMENTATION)
    fitted = fit(RANDOM, settings, *figures(), seed=1, state=state, until=until)
    Path(sys.argv[1], name).write_bytes(fitted.state)

"""


def run_elsewhere(folder: Path, lines: str) -> None:
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [sys.executable, "-c", SCRIPT + lines, str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_a_training_goes_on_in_another_process_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    run_elsewhere(tmp_path, "rung('first', 1); rung('undisturbed', 3)")
    run_elsewhere(tmp_path, "rung('second', 3, Path(sys.argv[1], 'first').read_bytes())")
    assert (tmp_path / "second").read_bytes() == (tmp_path / "undisturbed").read_bytes()


@pytest.fixture(scope="module")
def stopped() -> Fit:
    """A training on labels that cannot be learned, out of patience after a few epochs."""
    return train(data=HARD, patience=3, epochs=40)


def test_a_training_stops_when_its_patience_is_over(stopped: Fit) -> None:
    assert stopped.stopped_early
    assert len(stopped.history) == stopped.best_epoch + 3 < 40


def test_a_training_out_of_patience_does_not_go_on(stopped: Fit) -> None:
    again = fit(PLAIN, training(patience=3, epochs=40), *HARD, seed=1, state=stopped.state)
    assert again.history == stopped.history
    assert again.stopped_early


def test_the_network_has_the_weights_of_the_best_epoch(stopped: Fit) -> None:
    best, val = stopped.history[stopped.best_epoch - 1], HARD[2]
    assert best.val_accuracy == max(entry.val_accuracy for entry in stopped.history)
    answers = probabilities(stopped, val)
    assert np.mean(answers.argmax(axis=1) == val.labels) == best.val_accuracy
    assert -np.mean(np.log(answers[np.arange(len(val.labels)), val.labels])) == pytest.approx(best.val_loss, rel=1e-5)
    assert best.val_macro_f1 == pytest.approx(f1_score(val.labels, answers.argmax(axis=1), average="macro"))


@pytest.mark.slow
def test_a_training_that_diverges_names_the_epoch_and_the_remedy() -> None:
    with pytest.raises(Diverged, match=r"epoch \d+: the .* loss must be a finite number, got .*; lower training"):
        train(learning_rate=1e30, optimizer="sgd")


def one_hot(split: Split) -> np.ndarray:
    return np.eye(2)[split.labels]


def rare_circles(train: int, val: int) -> Any:
    """Two clouds of points that overlap; one training image in ten is of the second."""
    draw = np.random.default_rng(3)

    def split(name: Any, labels: np.ndarray) -> Split:
        images = draw.normal(labels[:, None, None, None] * 0.5, 1.0, (len(labels), 2, 2, 1)).astype(np.float32)
        return make_split(name, images, labels)

    return described(split("train", (np.arange(train) % 10 == 0).astype(np.int64)), split("val", np.arange(val) % 2))


POINTS = Architecture(input_shape=(2, 2, 1), classes=2, blocks=(), head=Head())


@pytest.mark.parametrize("setting", ["plain", "label_smoothing", "squared_error", "balanced"])
def test_the_loss_is_the_one_that_was_asked_for(setting: str) -> None:
    changes = {
        "plain": {},
        "label_smoothing": {"label_smoothing": 0.2},
        "squared_error": {"loss": "squared_error"},
        "balanced": {"class_weight": "balanced"},
    }[setting]
    data = rare_circles(50, 20)
    fitted = train(POINTS, data, **STANDSTILL, **changes)
    answers, target, weights = probabilities(fitted, data[1]), one_hot(data[1]), np.ones(50)
    if setting == "label_smoothing":
        target = target * 0.8 + 0.1
    if setting == "balanced":  # both classes have half of the weight: 45 and 5 images
        weights = np.where(data[1].labels == 1, 25 / 5, 25 / 45)
    losses = -np.sum(target * np.log(answers), axis=1)
    if setting == "squared_error":
        losses = np.mean((answers - target) ** 2, axis=1)
    assert fitted.history[0].loss == pytest.approx(np.mean(weights * losses), rel=1e-5)
    assert fitted.history[0].accuracy == pytest.approx(np.mean(answers.argmax(axis=1) == data[1].labels))


def test_the_validation_loss_knows_neither_smoothing_nor_class_weights() -> None:
    data = rare_circles(50, 20)
    fitted = train(POINTS, data, **STANDSTILL, label_smoothing=0.2, class_weight="balanced")
    losses = -np.sum(one_hot(data[2]) * np.log(probabilities(fitted, data[2])), axis=1)
    assert fitted.history[0].val_loss == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.slow
def test_balanced_classes_raise_the_recall_of_a_rare_one() -> None:
    data = rare_circles(300, 200)
    recall = {}
    for weight in ("none", "balanced"):
        fitted = train(POINTS, data, class_weight=weight, epochs=8, learning_rate=0.03)
        found = probabilities(fitted, data[2]).argmax(axis=1)
        recall[weight] = np.mean(found[data[2].labels == 1] == 1)
    assert recall["none"] < 0.3
    assert recall["balanced"] > 0.5


@pytest.mark.slow
def test_bfloat16_learns_and_returns_a_float32_network() -> None:
    fitted = train(RANDOM, precision="bfloat16", epochs=5)
    assert fitted.history[-1].loss < fitted.history[0].loss
    model = fitted.model()
    assert {weight.dtype for weight in model.get_weights()} == {np.dtype("float32")}
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}


@pytest.mark.slow
def test_a_small_network_learns_to_tell_crosses_from_circles() -> None:
    fitted = train(data=figures(train=300, val=100), epochs=6)
    assert fitted.history[fitted.best_epoch - 1].val_accuracy >= 0.97
