"""Training and evaluation of a network in TensorFlow."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.backend.augment_tensorflow import augment
from pipeline.backend.epoch_metrics import EvaluationMetrics, make_metrics
from pipeline.backend.layers_tensorflow import Layers, Pass
from pipeline.backend.precision import compute_dtype
from pipeline.backend.random_tensorflow import Random
from pipeline.backend.runtime import disable_remapper
from pipeline.backend.trainer import Arrays, Plan
from pipeline.cnn.geometry import compute_geometry
from pipeline.cnn.layers import AVERAGE_MOMENTUM
from pipeline.cnn.weights import Weight, initial_weights, weights_of
from pipeline.params.training import TrainingParams

# Limits for one call to TensorFlow. Larger chunks save no time, but delay Ctrl-C and take memory.
_CHUNK_STEPS = 256
_CHUNK_BYTES = 64 * 1024 * 1024
# As in Keras.
_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7


class TensorFlowTrainer:
    """A `Trainer` whose trainable weights are one vector, and whose batches all have the same size.

    One vector needs one update per step, and one array per state. One batch size needs one set of compiled operations:
    a smaller last batch is filled up with other images of the epoch, which do not count in the loss. They do count in
    the statistics of batch normalization.
    """

    def __init__(self, plan: Plan) -> None:
        disable_remapper()
        training = plan.training
        self._training, self._classes = training, plan.architecture.classes
        self._batch_size = training.batch_size
        self._dtype = tf.as_dtype(compute_dtype(training.precision))
        self._layers = Layers(compute_geometry(plan.architecture).layers)
        self._weights = weights_of(plan.architecture)
        trainable = [weight for weight in self._weights if weight.trainable]
        self._trainable = sorted(trainable, key=lambda weight: not weight.decays)
        self._averages = [weight for weight in self._weights if not weight.trainable]
        self._values = tf.Variable(tf.zeros([_size(self._trainable)]))
        self._moving = tf.Variable(tf.zeros([_size(self._averages)]))
        slots = {"sgd": int(training.momentum > 0)}.get(training.optimizer, 2)
        self._slots = [tf.Variable(tf.zeros_like(self._values)) for _ in range(slots)]
        self._steps = 0
        self._plan = plan
        mean, std = (np.asarray(values, np.float32) for values in (plan.dataset.mean, plan.dataset.std))
        self._mean, self._scale = mean, 1.0 / np.where(std > 0, std, 1.0).astype(np.float32)
        self._functions: dict[str, Any] = {}

    def start(self, plan: Plan, state: Arrays | None) -> None:
        """See `Trainer`."""
        self._plan = plan
        if state is None:
            named = dict(zip(self._weights, initial_weights(self._weights, plan.seed), strict=True))
            values, moving = _joined(self._trainable, named), _joined(self._averages, named)
            state = [values, moving, *(np.zeros_like(values) for _ in self._slots), np.array(0)]
        *arrays, steps = state
        for variable, value in zip([self._values, self._moving, *self._slots], arrays, strict=True):
            variable.assign(value)
        self._steps = int(steps)

    def weights(self) -> list[NDArray[np.float32]]:
        """See `Trainer`."""
        named = dict(_split(self._values.numpy(), self._trainable)) | dict(_split(self._moving.numpy(), self._averages))
        return [np.array(named[weight]) for weight in self._weights]

    def state(self) -> list[NDArray[Any]]:
        """See `Trainer`."""
        variables = [self._values, self._moving, *self._slots]
        return [*(np.array(variable.numpy()) for variable in variables), np.array(self._steps, np.int64)]

    def train(self, images: NDArray[Any], labels: NDArray[np.int64], order: NDArray[np.int64]) -> tuple[float, float]:
        """See `Trainer`."""
        total, hits = 0.0, 0
        run = self._function("train", images, self._train_steps, [tf.float32, tf.int64, tf.int64])
        for places, counted in self._chunks(images, order):
            steps = len(places)
            rates = self._plan.learning_rates[self._steps : self._steps + steps]
            loss, right = run(
                images[places], labels[places].astype(np.int32), counted, rates, self._steps, self._plan.seed
            )
            total, hits, self._steps = total + float(loss), hits + int(right), self._steps + steps
        return total / len(order), hits / len(order)

    def evaluate(self, images: NDArray[Any], labels: NDArray[np.int64]) -> EvaluationMetrics:
        """See `Trainer`."""
        total, counts = 0.0, np.zeros((2, self._classes), np.int64)
        run = self._function("evaluate", images, self._evaluate_steps, [])
        for places, counted in self._chunks(images, np.arange(len(labels))):
            loss, counted_now = run(images[places], labels[places].astype(np.int32), counted)
            total, counts = total + float(loss), counts + counted_now.numpy()
        return make_metrics(total, counts[0], counts[1], labels)

    def _chunks(
        self, images: NDArray[Any], order: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield the indices of the images of many steps, and 1 for those that count; both (steps, batch)."""
        size = self._batch_size
        steps = -(-len(order) // size)
        places = np.resize(order, steps * size).reshape(steps, size)
        counted = (np.arange(steps * size) < len(order)).astype(np.float32).reshape(steps, size)
        length = max(1, min(_CHUNK_STEPS, _CHUNK_BYTES // max(1, images[0].nbytes * size)))
        for start in range(0, steps, length):
            yield places[start : start + length], counted[start : start + length]

    def _function(self, name: str, images: NDArray[Any], body: Callable[..., Any], more: list[Any]) -> Any:
        """Trace a function of many steps once."""
        if name not in self._functions:
            size = self._batch_size
            signature = [
                tf.TensorSpec([None, size, *images.shape[1:]], images.dtype),
                tf.TensorSpec([None, size], tf.int32),
                tf.TensorSpec([None, size], tf.float32),
            ]
            if more:
                signature += [
                    tf.TensorSpec([None], tf.float32),
                    tf.TensorSpec([], tf.int64),
                    tf.TensorSpec([], tf.int64),
                ]
            function = tf.function(body, input_signature=signature, autograph=False, jit_compile=False)
            self._functions[name] = function.get_concrete_function()
        return self._functions[name]

    def _train_steps(self, images: Any, labels: Any, counted: Any, rates: Any, first: Any, seed: Any) -> Any:
        class_weights = tf.constant(self._plan.class_weights)

        def step(number: Any, total: Any, hits: Any) -> Any:
            done = first + tf.cast(number, tf.int64)
            values = self._values.read_value()
            random = Random(seed, done)
            forward = self._pass(values, random)
            x = augment(self._standardized(images[number]), self._training.augmentation.scaled(), random)
            scores = self._layers.scores(x, forward)
            smoothing = self._training.label_smoothing
            target = tf.one_hot(
                labels[number], self._classes, 1.0 - smoothing + smoothing / self._classes, smoothing / self._classes
            )
            losses = self._losses(scores, target) * (tf.gather(class_weights, labels[number]) * counted[number])
            loss = tf.reduce_sum(losses)
            mean = loss / tf.reduce_sum(counted[number])
            (gradient,) = tf.gradients(mean, values)
            self._update(values, gradient, rates[number], done)
            self._average(forward)
            right = tf.cast(tf.equal(tf.argmax(scores, axis=-1, output_type=tf.int32), labels[number]), tf.float32)
            hits += tf.cast(tf.reduce_sum(right * counted[number]), tf.int64)
            return number + 1, total + tf.cast(loss, tf.float64), hits

        zeros = (tf.constant(0), tf.constant(0.0, tf.float64), tf.constant(0, tf.int64))
        steps = tf.shape(labels)[0]
        _, total, hits = tf.while_loop(lambda number, *_: number < steps, step, zeros, parallel_iterations=1)
        return total, hits

    def _evaluate_steps(self, images: Any, labels: Any, counted: Any) -> Any:
        def step(number: Any, total: Any, counts: Any) -> Any:
            scores = self._layers.scores(self._standardized(images[number]), self._pass(self._values.read_value()))
            true = tf.one_hot(labels[number], self._classes)
            predicted = tf.one_hot(tf.argmax(scores, axis=-1), self._classes) * counted[number][:, None]
            found = tf.stack([tf.reduce_sum(predicted * true, axis=0), tf.reduce_sum(predicted, axis=0)])
            loss = tf.reduce_sum(self._losses(scores, true) * counted[number])
            return number + 1, total + tf.cast(loss, tf.float64), counts + tf.cast(found, tf.int64)

        zeros = (tf.constant(0), tf.constant(0.0, tf.float64), tf.zeros([2, self._classes], tf.int64))
        steps = tf.shape(labels)[0]
        _, total, counts = tf.while_loop(lambda number, *_: number < steps, step, zeros, parallel_iterations=1)
        return total, counts

    def _standardized(self, images: Any) -> Any:
        return (tf.cast(images, tf.float32) - self._mean) * self._scale

    def _pass(self, values: Any, random: Random | None = None) -> Pass:
        weights = dict(_tensors(values, self._trainable))
        if random is None:
            weights |= dict(_tensors(self._moving.read_value(), self._averages))
        return Pass({(weight.layer, weight.name): value for weight, value in weights.items()}, self._dtype, random)

    def _losses(self, scores: Any, target: Any) -> Any:
        if self._training.loss == "cross_entropy":
            losses, _ = tf.raw_ops.SoftmaxCrossEntropyWithLogits(features=scores, labels=target)
            return losses
        return tf.reduce_mean(tf.square(tf.nn.softmax(scores) - target), axis=-1)

    def _update(self, values: Any, gradient: Any, rate: Any, done: Any) -> None:
        """Change the weights as Keras's optimizers do. Weight decay is decoupled from the gradient."""
        training: TrainingParams = self._training
        if training.weight_decay:
            decaying = sum(weight.size for weight in self._trainable if weight.decays)
            mask = (np.arange(_size(self._trainable)) < decaying).astype(np.float32)
            tf.raw_ops.ResourceApplyGradientDescent(
                var=self._values.handle, alpha=rate * training.weight_decay, delta=values * mask
            )
        if training.optimizer == "sgd":
            if self._slots:
                tf.raw_ops.ResourceApplyKerasMomentum(
                    var=self._values.handle, accum=self._slots[0].handle, lr=rate, grad=gradient,
                    momentum=training.momentum, use_nesterov=True,
                )  # fmt: skip
            else:
                tf.raw_ops.ResourceApplyGradientDescent(var=self._values.handle, alpha=rate, delta=gradient)
            return
        power = tf.cast(done + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=self._values.handle, m=self._slots[0].handle, v=self._slots[1].handle,
            beta1_power=tf.pow(_BETA_1, power), beta2_power=tf.pow(_BETA_2, power), lr=rate, beta1=_BETA_1,
            beta2=_BETA_2, epsilon=_EPSILON, grad=gradient,
        )  # fmt: skip

    def _average(self, forward: Pass) -> None:
        """Update the moving averages of the batch normalizations."""
        if not self._averages:
            return
        index = {"moving_mean": 0, "moving_variance": 1}
        batch = tf.concat([forward.statistics[each.layer][index[each.name]] for each in self._averages], axis=0)
        self._moving.assign(self._moving.read_value() * AVERAGE_MOMENTUM + batch * (1.0 - AVERAGE_MOMENTUM))


def _size(weights: list[Weight]) -> int:
    return sum(weight.size for weight in weights)


def _joined(weights: list[Weight], values: dict[Weight, NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate([np.zeros(0, np.float32), *(values[weight].ravel() for weight in weights)])


def _split(vector: NDArray[np.float32], weights: list[Weight]) -> Iterator[tuple[Weight, NDArray[np.float32]]]:
    ends = np.cumsum([weight.size for weight in weights])[:-1]
    for weight, part in zip(weights, np.split(vector, ends) if weights else [], strict=True):
        yield weight, part.reshape(weight.shape)


def _tensors(vector: Any, weights: list[Weight]) -> Iterator[tuple[Weight, Any]]:
    parts = tf.split(vector, [weight.size for weight in weights]) if weights else []
    for weight, part in zip(weights, parts, strict=True):
        yield weight, tf.reshape(part, weight.shape)
