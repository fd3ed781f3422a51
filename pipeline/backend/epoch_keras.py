"""Training, evaluation and prediction epochs with Keras's own loops, on any backend."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.backend.epoch_metrics import EvaluationEpoch, EvaluationMetrics, LossName, TrainingEpoch, make_metrics

# Limits for one call to Keras. Larger chunks save no time but take memory, since the images are copied in order.
_CHUNK_STEPS = 256
_CHUNK_BYTES = 256 * 1024 * 1024


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

    def losses(labels: Any, logits: Any) -> Any:
        labels = keras.ops.cast(labels, "int32")
        target = keras.ops.one_hot(labels, classes) * (1.0 - label_smoothing) + label_smoothing / classes
        return _losses(loss, logits, target) * keras.ops.take(class_weights, labels)

    accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    if keras.backend.backend() == "jax":
        # Keras assumes that layers that shift, rotate or zoom cannot be compiled, and would run each step operation
        # by operation. In JAX they can be compiled.
        for layer in network.layers:
            layer.supports_jit = True
    network.compile(optimizer, loss=losses, metrics=[accuracy])

    def train(images: NDArray[Any], labels: NDArray[np.int64], order: NDArray[np.int64]) -> tuple[float, float]:
        bytes_per_step = max(1, images[0].nbytes * batch_size)
        length = batch_size * max(1, min(_CHUNK_STEPS, _CHUNK_BYTES // bytes_per_step))
        total, hits = 0.0, 0
        for start in range(0, len(order), length):
            part = order[start : start + length]
            result = network.fit(
                images[part], labels[part].astype(np.int32), batch_size=batch_size, shuffle=False, verbose=0
            ).history
            total += result["loss"][0] * len(part)
            hits += round(result["accuracy"][0] * len(part))
        return total / len(order), hits / len(order)

    return train


def make_evaluation_epoch(network: Any, loss: LossName, batch_size: int) -> EvaluationEpoch:
    """Return a function that evaluates the network's logits."""
    classes = network.output_shape[-1]

    def evaluate(images: NDArray[Any], labels: NDArray[np.int64]) -> EvaluationMetrics:
        logits = np.asarray(network.predict(images, batch_size=batch_size, verbose=0), np.float32)
        target = np.eye(classes, dtype=np.float32)[labels]
        total = np.sum(keras.ops.convert_to_numpy(_losses(loss, logits, target)), dtype=np.float64)
        predicted = logits.argmax(axis=1)
        hits = np.bincount(predicted[predicted == labels], minlength=classes)
        return make_metrics(float(total), hits, np.bincount(predicted, minlength=classes), labels)

    return evaluate


def make_prediction_epoch(model: Any, shape: tuple[int, ...]) -> Callable[[NDArray[np.float32]], Any]:
    """Return a function from a batch of images of this shape to the model's output, or the list of its outputs."""
    return lambda batch: keras.tree.map_structure(np.asarray, model.predict_on_batch(batch))


def _losses(loss: LossName, logits: Any, target: Any) -> Any:
    if loss == "cross_entropy":
        return keras.ops.categorical_crossentropy(target, logits, from_logits=True)
    return keras.ops.mean(keras.ops.square(keras.ops.softmax(logits) - target), axis=-1)
