"""Training and evaluation of a network in TensorFlow."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.backend.runtime import without_graph_optimizer
from pipeline.cnn.weights import Weight, initial_weights, weights_of
from pipeline.trainers.epoch_metrics import EvaluationMetrics, make_metrics
from pipeline.trainers.steps_tensorflow import Steps
from pipeline.trainers.trainer import Arrays, Plan, steps_per_chunk


class TensorFlowTrainer:
    """A `Trainer` of plain TensorFlow operations, whose batches all have the same size.

    One batch size needs one set of compiled operations. A smaller last batch is filled up with other images of the
    epoch, which do not count in the loss. They do count in the statistics of batch normalization.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._weights = weights_of(plan.architecture)
        self._steps = Steps(plan)
        self._done = 0
        self._functions: dict[str, Any] = {}

    def start(self, plan: Plan, state: Arrays | None) -> None:
        """See `Trainer`."""
        self._plan = plan
        if state is None:
            values = initial_weights(self._weights, plan.seed, plan.first_filters)
            named = dict(zip(self._weights, values, strict=True))
            first = [_joined(weights, named) for weights in (self._steps.trainable, self._steps.averages)]
            averaged = first if plan.training.average_weights else []
            moments = len(self._steps.variables) - len(first) - len(averaged)
            state = [*first, *(np.zeros_like(first[0]) for _ in range(moments)), *averaged, np.array(0)]
        *arrays, done = state
        for variable, value in zip(self._steps.variables, arrays, strict=True):
            variable.assign(value)
        self._done = int(done)

    def weights(self) -> list[NDArray[np.float32]]:
        """See `Trainer`."""
        values, averages = self._steps.evaluated
        named = dict(_split(values.numpy(), self._steps.trainable))
        named |= dict(_split(averages.numpy(), self._steps.averages))
        return [np.array(named[weight]) for weight in self._weights]

    def state(self) -> list[NDArray[Any]]:
        """See `Trainer`."""
        return [*(np.array(variable.numpy()) for variable in self._steps.variables), np.array(self._done)]

    def train(self, images: NDArray[Any], labels: NDArray[np.int64], order: NDArray[np.int64]) -> tuple[float, float]:
        """See `Trainer`."""
        total, hits = 0.0, 0
        with without_graph_optimizer():
            run = self._function("train", images)
            for places, counted in self._chunks(images, order):
                rates = self._plan.learning_rates[self._done : self._done + len(places)]
                batches = images[places], labels[places].astype(np.int32), counted
                loss, right = run(*batches, rates, self._done, self._plan.seed)
                total, hits, self._done = total + float(loss), hits + int(right), self._done + len(places)
        return total / len(order), hits / len(order)

    def evaluate(self, images: NDArray[Any], labels: NDArray[np.int64]) -> EvaluationMetrics:
        """See `Trainer`."""
        total, counts = 0.0, np.zeros((2, self._plan.architecture.classes), np.int64)
        with without_graph_optimizer():
            run = self._function("evaluate", images)
            for places, counted in self._chunks(images, np.arange(len(labels))):
                loss, found = run(images[places], labels[places].astype(np.int32), counted)
                total, counts = total + float(loss), counts + found.numpy()
        return make_metrics(total, counts[0], counts[1], labels)

    def _chunks(
        self, images: NDArray[Any], order: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield the indices of the images of many steps, and 1 for those that count; both (steps, batch)."""
        size = self._plan.training.batch_size
        steps = -(-len(order) // size)
        places = np.resize(order, (steps, size))
        counted = (np.arange(steps * size) < len(order)).astype(np.float32).reshape(steps, size)
        length = steps_per_chunk(images, size)
        for start in range(0, steps, length):
            yield places[start : start + length], counted[start : start + length]

    def _function(self, name: str, images: NDArray[Any]) -> Any:
        """Return the function of `Steps` with this name, traced once."""
        if name not in self._functions:
            size = self._plan.training.batch_size
            batches = [
                tf.TensorSpec([None, size, *images.shape[1:]], images.dtype),
                tf.TensorSpec([None, size], tf.int32),
                tf.TensorSpec([None, size], tf.float32),
            ]
            more = [tf.TensorSpec([None], tf.float32), tf.TensorSpec([], tf.int64), tf.TensorSpec([], tf.int64)]
            signature = [*batches, *more] if name == "train" else batches
            steps = tf.function(getattr(self._steps, name), input_signature=signature, autograph=False)
            self._functions[name] = steps.get_concrete_function()
        return self._functions[name]


def _joined(weights: Sequence[Weight], values: Mapping[Weight, NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate([np.zeros(0, np.float32), *(values[weight].ravel() for weight in weights)])


def _split(vector: NDArray[np.float32], weights: Sequence[Weight]) -> Iterator[tuple[Weight, NDArray[np.float32]]]:
    start = 0
    for weight in weights:
        yield weight, vector[start : start + weight.size].reshape(weight.shape)
        start += weight.size
