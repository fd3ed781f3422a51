"""The operations that train a network compute what its Keras layers compute."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.backend.precision import has_bfloat16
from pipeline.cnn.architecture import Architecture
from pipeline.cnn.build import build
from pipeline.cnn.geometry import Infeasible, compute_geometry
from pipeline.cnn.weights import layer_weights, set_weights, weights_of
from pipeline.data.split import make_split
from pipeline.data.training_data import TrainingData
from pipeline.errors import UserError
from pipeline.params import Block, Head
from pipeline.trainers import layers_tensorflow, trainer
from pipeline.trainers.layers_tensorflow import Layers, Pass
from pipeline.trainers.random_tensorflow import Random
from pipeline.trainers.steps_tensorflow import TensorFlowSteps
from pipeline.trainers.trainer import Plan
from pipeline.trainers.trainer_steps import StepTrainer
from tests.pipeline.cnn.architectures import random_architecture
from tests.pipeline.training.trainings import training, with_dataset

BATCH = 8
RATE = 0.5


def feasible(seed: int) -> Architecture | None:
    """A random architecture without dropout, or None if it does not fit its input."""
    drawn = random_architecture(seed)
    blocks = tuple(block.model_copy(update={"dropout": 0.0}) for block in drawn.blocks)
    architecture = drawn.model_copy(update={"blocks": blocks, "head": drawn.head.model_copy(update={"dropout": 0.0})})
    try:
        compute_geometry(architecture)
    except Infeasible:
        return None
    return architecture


SAMPLE = [architecture for seed in range(70) if (architecture := feasible(seed)) is not None]


def two_readers(pooling: str) -> Architecture:
    """The second block's convolution and its shortcut both begin with a subsampling of the first block's output."""
    first = Block.model_validate({"filters": 4, "pooling": pooling})
    second = Block(filters=3, kernel_size=1, strides=2, residual=True, pooling="none")
    return Architecture(input_shape=(9, 9, 1), classes=3, blocks=(first, second), head=Head())


TWO_READERS = [two_readers(pooling) for pooling in ("none", "max", "min")]


def data_for(architecture: Architecture, images: int = BATCH) -> TrainingData:
    draw = np.random.default_rng(1)
    splits = [
        make_split(
            name,
            draw.normal(100.0, 50.0, (images, *architecture.input_shape)).astype(np.float32),
            np.arange(images) % architecture.classes,
        )
        for name in ("train", "val")
    ]
    return with_dataset(*splits, classes=tuple(f"class {number}" for number in range(architecture.classes)))


def plan_for(architecture: Architecture, data: TrainingData, **settings: Any) -> Plan:
    settings = {"optimizer": "sgd", "momentum": 0.0, "batch_size": BATCH} | settings
    rates = np.full(100, RATE, np.float32)
    return Plan(architecture, training(**settings), data.dataset, np.ones(architecture.classes, np.float32), 1, rates)


def started(plan: Plan) -> StepTrainer:
    trainer = StepTrainer(plan, TensorFlowSteps(plan))
    trainer.start(plan, None)
    return trainer


def keras_network(trainer: StepTrainer, plan: Plan) -> Any:
    network = build(plan.architecture, plan.dataset.mean, plan.dataset.std, logits=True)
    set_weights(network, weights_of(plan.architecture), trainer.weights())
    return network


def step_in_keras(trainer: StepTrainer, plan: Plan, data: TrainingData) -> tuple[float, list[np.ndarray]]:
    """The loss of the training images, and the weights after one step, computed by Keras layers."""
    network = keras_network(trainer, plan)
    with tf.GradientTape() as tape:
        scores = network(data.train.images, training=True)
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(data.train.labels, scores, from_logits=True))
    gradients = tape.gradient(loss, network.trainable_variables)
    for variable, gradient in zip(network.trainable_variables, gradients, strict=True):
        variable.assign(variable - RATE * gradient)
    return float(loss), layer_weights(network, weights_of(plan.architecture))


@pytest.mark.parametrize("architecture", [*SAMPLE, *TWO_READERS], ids=lambda each: each.digest)
def test_a_step_equals_that_of_the_keras_layers(architecture: Architecture) -> None:
    data = data_for(architecture)
    plan = plan_for(architecture, data)
    trainer = started(plan)
    before = trainer.weights()
    loss, expected = step_in_keras(trainer, plan, data)
    measured, _ = trainer.train(data.train.images, data.train.labels, np.arange(BATCH))
    assert measured == pytest.approx(loss, rel=1e-4)
    for weight, start, one, other in zip(weights_of(architecture), before, trainer.weights(), expected, strict=True):
        largest = np.abs(other - start).max()
        np.testing.assert_allclose(one, other, atol=2e-3 * largest + 1e-5, rtol=1e-3, err_msg=str(weight))


@pytest.mark.parametrize("architecture", SAMPLE[::4], ids=lambda each: each.digest)
def test_the_saved_network_gives_the_probabilities_of_the_trained_one(architecture: Architecture) -> None:
    data = data_for(architecture)
    plan = plan_for(architecture, data)
    trainer = started(plan)
    trainer.train(data.train.images, data.train.labels, np.arange(BATCH))
    probabilities = keras.ops.softmax(keras_network(trainer, plan)(data.val.images, training=False)).numpy()
    losses = -np.log(probabilities[np.arange(BATCH), data.val.labels])
    for number in range(BATCH):
        measured = trainer.evaluate(data.val.images[[number]], data.val.labels[[number]])
        assert np.exp(-measured.loss) == pytest.approx(np.exp(-losses[number]), abs=1e-3)


def test_a_smaller_last_batch_is_filled_up_with_images_that_do_not_count() -> None:
    architecture = Architecture(input_shape=(6, 6, 1), classes=2, blocks=(Block(filters=3),), head=Head())
    data = data_for(architecture, 10)
    plan = plan_for(architecture, data)
    trainer, part = started(plan), started(plan)
    order = np.arange(10)
    loss, accuracy = trainer.train(data.train.images, data.train.labels, order)
    first, first_accuracy = part.train(data.train.images, data.train.labels, order[:8])
    rest, rest_accuracy = part.train(data.train.images, data.train.labels, order[8:])
    assert loss == pytest.approx((8 * first + 2 * rest) / 10, rel=1e-5)
    assert accuracy == pytest.approx((8 * first_accuracy + 2 * rest_accuracy) / 10)
    for one, other in zip(trainer.weights(), part.weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    whole = trainer.evaluate(data.val.images, data.val.labels)
    halves = [trainer.evaluate(data.val.images[part], data.val.labels[part]) for part in (order[:8], order[8:])]
    assert whole.loss == pytest.approx((8 * halves[0].loss + 2 * halves[1].loss) / 10, rel=1e-5)
    assert whole.accuracy == pytest.approx((8 * halves[0].accuracy + 2 * halves[1].accuracy) / 10)


@pytest.mark.parametrize("normalization", ["none", "batch"])
def test_devices_that_share_a_batch_take_the_step_of_one_device(
    normalization: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both devices are the processor. Both halves of the batch are equal, and so are their statistics."""
    block = Block.model_validate({"filters": 3, "normalization": normalization})
    architecture = Architecture(input_shape=(6, 6, 1), classes=2, blocks=(block,), head=Head())
    data = data_for(architecture)
    order, weights = np.tile(np.arange(BATCH // 2), 2), np.linspace(0.5, 1.5, BATCH, dtype=np.float32)
    one = started(replace(plan_for(architecture, data), weighted=True))
    expected = one.train(data.train.images, data.train.labels, order, weights)
    processor = SimpleNamespace(name="/CPU:0")
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [processor] * 2 if kind == "GPU" else [])
    both = started(replace(plan_for(architecture, data, gpus=2), weighted=True))
    assert both.train(data.train.images, data.train.labels, order, weights) == pytest.approx(expected, rel=1e-5)
    for shared, alone in zip(both.weights(), one.weights(), strict=True):
        np.testing.assert_allclose(shared, alone, rtol=1e-3, atol=1e-5)


def test_devices_that_share_a_batch_drop_different_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both devices classify the same image. Only the dropout can make one right and the other wrong."""
    processor = SimpleNamespace(name="/CPU:0")
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda _: [processor] * 2)
    architecture = Architecture(input_shape=(6, 6, 1), classes=2, blocks=(), head=Head(dropout=0.5))
    data = data_for(architecture)
    plan = replace(plan_for(architecture, data, gpus=2, batch_size=2), learning_rates=np.zeros(100, np.float32))
    trainer = started(plan)
    accuracies = {trainer.train(data.train.images, data.train.labels, np.array([0, 0]))[1] for _ in range(40)}
    assert 0.5 in accuracies


def test_more_gpus_than_there_are_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda _: [SimpleNamespace(name="/GPU:0")])
    architecture = Architecture(input_shape=(6, 6, 1), classes=2, blocks=(), head=Head())
    with pytest.raises(UserError, match=r"training.gpus: must not exceed the number of GPUs, got 2, found 1"):
        started(plan_for(architecture, data_for(architecture), gpus=2))


def test_averaged_weights_follow_polynomial_decay() -> None:
    """The trainer without averages gives the weights after each step, from which NumPy computes the average."""
    blocks = (Block(filters=3, normalization="batch"),)
    architecture = Architecture(input_shape=(6, 6, 1), classes=2, blocks=blocks, head=Head())
    data = data_for(architecture)
    plain = started(plan_for(architecture, data))
    averaging = started(plan_for(architecture, data, average_weights=True))
    expected = plain.weights()
    for one, other in zip(averaging.weights(), expected, strict=True):
        assert np.array_equal(one, other)
    for step in range(1, 5):
        results = [each.train(data.train.images, data.train.labels, np.arange(BATCH)) for each in (plain, averaging)]
        assert results[0] == results[1]
        share = 9 / (step + 8)
        expected = [(1 - share) * mean + share * new for mean, new in zip(expected, plain.weights(), strict=True)]
    for one, other in zip(averaging.weights(), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    network = build(architecture, data.dataset.mean, data.dataset.std)
    set_weights(network, weights_of(architecture), averaging.weights())
    right = network(data.val.images, training=False).numpy().argmax(axis=1) == data.val.labels
    assert averaging.evaluate(data.val.images, data.val.labels).accuracy == pytest.approx(np.mean(right))


def test_chunks_of_any_length_give_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = (Block(filters=3, normalization="batch", dropout=0.3),)
    architecture = Architecture(input_shape=(6, 6, 1), classes=2, blocks=blocks, head=Head())
    data = data_for(architecture, 40)
    plan = plan_for(architecture, data, optimizer="adam")
    whole, parts = started(plan), started(plan)
    whole.train(data.train.images, data.train.labels, np.arange(40))
    monkeypatch.setattr(trainer, "CHUNK_STEPS", 2)
    parts.train(data.train.images, data.train.labels, np.arange(40))
    for one, other in zip(whole.state(), parts.state(), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.3, 0.999])
def test_dropout_drops_its_share_and_keeps_the_mean(rate: float) -> None:
    """A network without weights: the identity as its only dense layer."""
    architecture = Architecture(input_shape=(1, 500), classes=500, blocks=(), head=Head(dropout=rate))
    layers = Layers(compute_geometry(architecture).layers)
    weights = {("scores", "kernel"): tf.eye(500), ("scores", "bias"): tf.zeros(500)}
    random = Random(tf.constant(1, tf.int64), tf.constant(2, tf.int64))
    scores = layers.scores(tf.ones([400, 1, 500]), Pass(weights, tf.float32, random)).numpy()
    kept = 1.0 - np.mean(scores == 0.0)
    assert kept == pytest.approx(1.0 - rate, abs=1 / 256)
    assert np.mean(scores) == pytest.approx(1.0, rel=0.05 if rate < 0.9 else 0.3)
    assert len(np.unique(scores)) == 2


def test_dropout_draws_anew_in_each_layer_and_step() -> None:
    """With the learning rate 0, only the dropout changes the loss from epoch to epoch."""
    head = Head(dropout=0.5)
    architecture = Architecture(input_shape=(6, 6, 1), classes=2, blocks=(Block(filters=3),), head=head)
    data = data_for(architecture)
    trainer = started(replace(plan_for(architecture, data), learning_rates=np.zeros(100, np.float32)))
    images, labels = data.train.images, data.train.labels
    losses = [trainer.train(images, labels, np.arange(BATCH))[0] for _ in range(5)]
    assert len(set(losses)) == 5
    trainer.start(replace(plan_for(architecture, data), learning_rates=np.zeros(100, np.float32)), None)
    assert [trainer.train(images, labels, np.arange(BATCH))[0] for _ in range(5)] == losses


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu", "tanh", "gelu", "silu"])
@pytest.mark.parametrize("pooling", ["max", "min"])
def test_activations_that_do_not_decrease_are_computed_after_pooling(
    activation: str, pooling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = Block.model_validate({"filters": 3, "activation": activation, "pooling": pooling})
    architecture = Architecture(input_shape=(8, 8, 1), classes=2, blocks=(block,), head=Head())
    seen: list[tuple[int, ...]] = []
    compute = layers_tensorflow.activate
    monkeypatch.setattr(layers_tensorflow, "activate", lambda name, x: seen.append(x.shape) or compute(name, x))
    started(plan_for(architecture, data_for(architecture)))
    shape = (BATCH, 4, 4, 3) if activation not in ("gelu", "silu") else (BATCH, 8, 8, 3)
    assert [tuple(each) for each in seen] == [shape, shape]  # in training and in evaluation


@pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16 instructions")
@pytest.mark.parametrize("architecture", SAMPLE[::3], ids=lambda each: each.digest)
def test_bfloat16_differs_from_float32_by_rounding_only(architecture: Architecture) -> None:
    data = data_for(architecture)
    found = {}
    for precision in ("float32", "bfloat16"):
        trainer = started(plan_for(architecture, data, precision=precision))
        found[precision] = trainer.evaluate(data.val.images, data.val.labels).loss
        trained, _ = trainer.train(data.train.images, data.train.labels, np.arange(BATCH))
        assert np.isfinite(trained)
        assert all(weight.dtype == np.float32 for weight in trainer.weights())
    assert found["bfloat16"] == pytest.approx(found["float32"], rel=0.1)
    assert found["bfloat16"] != found["float32"]


@pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16 instructions")
@pytest.mark.slow
def test_gradients_in_bfloat16_differ_from_those_in_float32_by_rounding_only() -> None:
    differences = []
    for architecture in SAMPLE:
        data, gradients = data_for(architecture), {}
        for precision in ("float32", "bfloat16"):
            trainer = started(plan_for(architecture, data, precision=precision))
            before, _ = trainer.state()[:2]
            trainer.train(data.train.images, data.train.labels, np.arange(BATCH))
            gradients[precision] = (before - trainer.state()[0]) / RATE
        exact = gradients["float32"]
        differences.append(float(np.linalg.norm(gradients["bfloat16"] - exact) / np.linalg.norm(exact)))
    assert np.median(differences) < 0.01
    assert max(differences) < 0.35  # batch normalization amplifies rounding where eight values hardly differ


@pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16 instructions")
@pytest.mark.parametrize("architecture", SAMPLE[::4], ids=lambda each: each.digest)
def test_the_saved_network_gives_the_probabilities_of_one_trained_in_bfloat16(architecture: Architecture) -> None:
    data = data_for(architecture)
    plan = plan_for(architecture, data, precision="bfloat16")
    trainer = started(plan)
    trainer.train(data.train.images, data.train.labels, np.arange(BATCH))
    probabilities = keras.ops.softmax(keras_network(trainer, plan)(data.val.images, training=False)).numpy()
    for number, label in enumerate(data.val.labels):
        measured = trainer.evaluate(data.val.images[[number]], data.val.labels[[number]])
        assert np.exp(-measured.loss) == pytest.approx(probabilities[number, label], abs=0.01)
