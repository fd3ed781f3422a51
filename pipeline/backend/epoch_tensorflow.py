"""Training, evaluation and prediction epochs in TensorFlow."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.ops import gradient_registry

from pipeline.backend.epoch_metrics import EvaluationEpoch, EvaluationMetrics, LossName, TrainingEpoch, make_metrics

# Limits for one call to TensorFlow. Larger chunks save no time, but delay Ctrl-C and take memory.
_CHUNK_STEPS = 64
_CHUNK_BYTES = 64 * 1024 * 1024

# Remapping fuses convolutions of one channel with additions, which oneDNN then cannot compute
# (docs/decisions/0019-no-remapper.md).
tf.config.optimizer.set_experimental_options({"remapping": False})

_Sums = Callable[[NDArray[Any], NDArray[np.int64], NDArray[np.int64] | None], tuple[float, NDArray[np.int64]]]


def make_training_epoch(
    network: Any,
    optimizer: Any,
    loss: LossName,
    batch_size: int,
    label_smoothing: float,
    class_weights: NDArray[np.float32],
) -> TrainingEpoch:
    """Return a function that trains for one epoch.

    `network` returns logits. The batches follow `order`; the last one may be smaller. The loss of a batch is the mean
    over its images, each weighted by its class.
    """
    classes = len(class_weights)
    weight_of_class = tf.constant(class_weights, tf.float32)

    def step(images: Any, labels: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            logits = tf.cast(network(tf.cast(images, tf.float32), training=True), tf.float32)
            target = tf.one_hot(labels, classes) * (1.0 - label_smoothing) + label_smoothing / classes
            total = tf.reduce_sum(_losses(loss, logits, target) * tf.gather(weight_of_class, labels))
            mean = total / tf.cast(tf.shape(labels)[0], tf.float32)
        optimizer.apply(tape.gradient(mean, network.trainable_variables), network.trainable_variables)
        return total, tf.reduce_sum(tf.cast(tf.equal(tf.argmax(logits, axis=-1), labels), tf.int64))

    sums = _over_batches(step, batch_size, counts=())

    def train(images: NDArray[Any], labels: NDArray[np.int64], order: NDArray[np.int64]) -> tuple[float, float]:
        total, hits = sums(images, labels, order)
        return total / len(order), int(hits) / len(order)

    return train


def make_evaluation_epoch(network: Any, loss: LossName, batch_size: int) -> EvaluationEpoch:
    """Return a function that evaluates the network's logits."""
    classes = network.output_shape[-1]

    def step(images: Any, labels: Any) -> tuple[Any, Any]:
        logits = tf.cast(network(tf.cast(images, tf.float32), training=False), tf.float32)
        predicted = tf.one_hot(tf.argmax(logits, axis=-1), classes, dtype=tf.int64)
        right = predicted * tf.one_hot(labels, classes, dtype=tf.int64)
        counts = tf.stack([tf.reduce_sum(right, axis=0), tf.reduce_sum(predicted, axis=0)])
        return tf.reduce_sum(_losses(loss, logits, tf.one_hot(labels, classes))), counts

    sums = _over_batches(step, batch_size, counts=(2, classes))

    def evaluate(images: NDArray[Any], labels: NDArray[np.int64]) -> EvaluationMetrics:
        total, (hits, predicted) = sums(images, labels, None)
        return make_metrics(total, hits, predicted, labels)

    return evaluate


def make_prediction_epoch(model: Any, shape: tuple[int, ...]) -> Callable[[NDArray[np.float32]], Any]:
    """Return a function from a batch of images of this shape to the model's output, or the list of its outputs."""
    signature = [tf.TensorSpec([None, *shape], tf.float32)]
    predict = tf.function(lambda batch: model(batch, training=False), input_signature=signature)
    return lambda batch: tf.nest.map_structure(lambda value: value.numpy(), predict(batch))


def _losses(loss: LossName, logits: Any, target: Any) -> Any:
    if loss == "cross_entropy":
        return tf.nn.softmax_cross_entropy_with_logits(target, logits)
    return tf.reduce_mean(tf.square(tf.nn.softmax(logits) - target), axis=-1)


def _over_batches(step: Callable[[Any, Any], tuple[Any, Any]], batch_size: int, counts: tuple[int, ...]) -> _Sums:
    """Return a function that sums the results of `step` over all batches, with many batches per call to TensorFlow.

    Args:
        step: Function from a batch to its summed loss and its int64 counts.
        batch_size: Images per step.
        counts: Shape of the counts.
    """

    def chunk(images: Any, labels: Any) -> tuple[Any, Any]:
        def next_batch(start: Any, total: Any, counted: Any) -> tuple[Any, Any, Any]:
            end = start + batch_size
            batch_total, batch_counted = step(images[start:end], labels[start:end])
            return end, total + tf.cast(batch_total, tf.float64), counted + batch_counted

        zeros = (tf.constant(0), tf.constant(0.0, tf.float64), tf.zeros(counts, tf.int64))
        _, total, counted = tf.while_loop(
            lambda start, *_: start < tf.shape(labels)[0], next_batch, zeros, parallel_iterations=1
        )
        return total, counted

    run: Any = None

    def over(
        images: NDArray[Any], labels: NDArray[np.int64], order: NDArray[np.int64] | None
    ) -> tuple[float, NDArray[np.int64]]:
        nonlocal run
        if run is None:
            signature = [tf.TensorSpec([None, *images.shape[1:]], images.dtype), tf.TensorSpec([None], tf.int64)]
            run = tf.function(chunk, input_signature=signature, autograph=False, jit_compile=False)
            with _forgotten_gradients():
                run.get_concrete_function()
        bytes_per_step = max(1, images[0].nbytes * batch_size)
        length = batch_size * max(1, min(_CHUNK_STEPS, _CHUNK_BYTES // bytes_per_step))
        total, counted = 0.0, np.zeros(counts, np.int64)
        for start in range(0, len(labels) if order is None else len(order), length):
            part = slice(start, start + length) if order is None else order[start : start + length]
            part_total, part_counted = run(tf.constant(images[part]), tf.constant(labels[part]))
            total, counted = total + float(part_total), counted + part_counted.numpy()
        return total, counted

    return over


@contextmanager
def _forgotten_gradients() -> Iterator[None]:
    """Remove gradients that are registered within the block from TensorFlow's registry.

    Each trace registers its custom gradients (silu has one, optimizers another) permanently, and each of them keeps its
    whole graph in memory: about 10 MB per network in a long study. A finished graph does not need them.
    """
    registry = gradient_registry._registry
    before = set(registry)
    yield
    for name in [name for name in registry if name not in before and name.startswith("CustomGradient-")]:
        del registry[name]
