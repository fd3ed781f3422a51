"""One pass over a split's images: training steps, or a judgement."""

from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Pass = Callable[[NDArray[Any], NDArray[np.int64], NDArray[np.int64] | None], tuple[float, float]]
LossName = Literal["cross_entropy", "squared_error"]

# The steps of a chunk run as one call into TensorFlow. More would save no time, but delay Ctrl-C and take memory.
_CHUNK_STEPS = 64
_CHUNK_BYTES = 64 * 1024 * 1024


def make_training_pass(
    network: Any,
    optimizer: Any,
    loss: LossName,
    batch_size: int,
    label_smoothing: float,
    class_weights: NDArray[np.float32],
) -> Pass:
    """A function (images, labels, order) -> (loss, accuracy) that trains one epoch.

    `network` gives logits. The batches follow `order`; the last one may be smaller. A batch's loss is its mean over
    the images, each weighted by its class.
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
        return total, _hits(logits, labels)

    return _over_batches(step, batch_size)


def make_judging_pass(network: Any, loss: LossName, batch_size: int) -> Pass:
    """A function (images, labels, order) -> (loss, accuracy) that leaves the network as it is."""
    classes = network.output_shape[-1]

    def step(images: Any, labels: Any) -> tuple[Any, Any]:
        logits = tf.cast(network(tf.cast(images, tf.float32), training=False), tf.float32)
        return tf.reduce_sum(_losses(loss, logits, tf.one_hot(labels, classes))), _hits(logits, labels)

    return _over_batches(step, batch_size)


def _losses(loss: LossName, logits: Any, target: Any) -> Any:
    if loss == "cross_entropy":
        return tf.nn.softmax_cross_entropy_with_logits(target, logits)
    return tf.reduce_mean(tf.square(tf.nn.softmax(logits) - target), axis=-1)


def _hits(logits: Any, labels: Any) -> Any:
    return tf.reduce_sum(tf.cast(tf.equal(tf.argmax(logits, axis=-1), labels), tf.int64))


def _over_batches(step: Callable[[Any, Any], tuple[Any, Any]], batch_size: int) -> Pass:
    """A pass that calls `step` for each batch, many of them within one call into TensorFlow."""

    def chunk(images: Any, labels: Any) -> tuple[Any, Any]:
        total, hits = tf.constant(0.0, tf.float64), tf.constant(0, tf.int64)
        for start in tf.range(0, tf.shape(labels)[0], batch_size):
            end = start + batch_size
            batch_total, batch_hits = step(images[start:end], labels[start:end])
            total += tf.cast(batch_total, tf.float64)
            hits += batch_hits
        return total, hits

    run: Any = None

    def over(
        images: NDArray[Any], labels: NDArray[np.int64], order: NDArray[np.int64] | None = None
    ) -> tuple[float, float]:
        nonlocal run
        if run is None:
            signature = [tf.TensorSpec([None, *images.shape[1:]], images.dtype), tf.TensorSpec([None], tf.int64)]
            run = tf.function(chunk, input_signature=signature, jit_compile=False)
        bytes_per_step = max(1, images[0].nbytes * batch_size)
        length = batch_size * max(1, min(_CHUNK_STEPS, _CHUNK_BYTES // bytes_per_step))
        total, hits = 0.0, 0
        for start in range(0, len(labels), length):
            part = slice(start, start + length) if order is None else order[start : start + length]
            part_total, part_hits = run(tf.constant(images[part]), tf.constant(labels[part]))
            total, hits = total + float(part_total), hits + int(part_hits)
        return total / len(labels), hits / len(labels)

    return over


def values_of(variables: Any) -> list[NDArray[Any]]:
    """Copies of the variables' values."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
