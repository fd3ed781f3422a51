"""The operations that train a network compute what its Keras layers compute."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.backend.trainer import Plan
from pipeline.backend.trainer_tensorflow import TensorFlowTrainer
from pipeline.cnn.architecture import Architecture
from pipeline.cnn.build import build
from pipeline.cnn.geometry import Infeasible, compute_geometry
from pipeline.cnn.weights import layer_weights, set_weights, weights_of
from pipeline.data.split import make_split
from pipeline.data.training_data import TrainingData
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
# The second block's convolution and its shortcut both begin with a subsampling of the first block's activation.
TWO_READERS = Architecture(
    input_shape=(9, 9, 1),
    classes=3,
    blocks=(
        Block(filters=4, pooling="none"),
        Block(filters=3, kernel_size=1, strides=2, residual=True, pooling="none"),
    ),
    head=Head(),
)


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


def started(plan: Plan) -> TensorFlowTrainer:
    trainer = TensorFlowTrainer(plan)
    trainer.start(plan, None)
    return trainer


def keras_network(trainer: TensorFlowTrainer, plan: Plan) -> Any:
    network = build(plan.architecture, plan.dataset.mean, plan.dataset.std, logits=True)
    set_weights(network, weights_of(plan.architecture), trainer.weights())
    return network


def step_in_keras(trainer: TensorFlowTrainer, plan: Plan, data: TrainingData) -> tuple[float, list[np.ndarray]]:
    """The loss of the training images, and the weights after one step, computed by Keras layers."""
    network = keras_network(trainer, plan)
    with tf.GradientTape() as tape:
        scores = network(data.train.images, training=True)
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(data.train.labels, scores, from_logits=True))
    gradients = tape.gradient(loss, network.trainable_variables)
    for variable, gradient in zip(network.trainable_variables, gradients, strict=True):
        variable.assign(variable - RATE * gradient)
    return float(loss), layer_weights(network, weights_of(plan.architecture))


@pytest.mark.parametrize("architecture", [*SAMPLE, TWO_READERS], ids=lambda each: each.digest)
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
