"""The graphs of training and evaluation steps in TensorFlow, and the variables that they change."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.backend.precision import compute_dtype
from pipeline.backend.runtime import without_graph_optimizer
from pipeline.cnn.geometry import compute_geometry
from pipeline.cnn.layers import AVERAGE_MOMENTUM
from pipeline.cnn.weights import Weight
from pipeline.errors import UserError
from pipeline.trainers.augment_tensorflow import augment
from pipeline.trainers.layers_tensorflow import Layers, Pass
from pipeline.trainers.random_tensorflow import Random
from pipeline.trainers.trainer import ETA, Arrays, Plan
from pipeline.trainers.vectors import BETA_1, BETA_2, EPSILON, moments_of, size_of, vector_weights


class TensorFlowSteps:
    """`Steps` of plain TensorFlow operations.

    Args:
        plan: What to train. Its seed and its learning rates are arguments of the graphs instead.
    """

    def __init__(self, plan: Plan) -> None:
        training = plan.training
        self._training, self._classes, self._kind = training, plan.architecture.classes, plan.kind
        self._class_weights = plan.class_weights
        geometry = compute_geometry(plan.architecture)
        self._dtype = tf.as_dtype(compute_dtype(training.precision, geometry))
        self._layers = Layers(geometry.layers)
        self._devices = _devices(training.gpus)
        mean, std = (np.asarray(values, np.float32) for values in (plan.dataset.mean, plan.dataset.std))
        self._mean, self._scale = mean, np.float32(1.0) / np.where(std > 0, std, np.float32(1.0))
        self.trainable, self.moving = vector_weights(plan.architecture)
        self.moments = moments_of(training)
        current = [tf.Variable(tf.zeros([size_of(each)])) for each in (self.trainable, self.moving)]
        self._values, self._moving = current
        self._moments = [tf.Variable(tf.zeros_like(self._values)) for _ in range(self.moments)]
        self._averaged = [tf.Variable(tf.zeros_like(each)) for each in current if training.average_weights]
        self._evaluated = self._averaged or current
        self._variables = [*current, *self._moments, *self._averaged]
        size, shape = training.batch_size, plan.architecture.input_shape
        batches = [
            tf.TensorSpec([None, size, *shape], plan.dataset.dtype),
            tf.TensorSpec([None, size], tf.int32),
            tf.TensorSpec([None, size], tf.float32),
        ]
        more = [tf.TensorSpec([None], tf.float32), tf.TensorSpec([], tf.int64), tf.TensorSpec([], tf.int64)]
        weights = [tf.TensorSpec([None, size], tf.float32)] if plan.weighted else []
        self._traced_train = _traced(self._train, [*batches, *more, *weights])
        self._traced_evaluate = _traced(self._evaluate, batches)

    def set_vectors(self, vectors: Arrays) -> None:
        """See `Steps`."""
        for variable, vector in zip(self._variables, vectors, strict=True):
            variable.assign(vector)

    def vectors(self) -> list[NDArray[np.float32]]:
        """See `Steps`."""
        return [np.array(variable.numpy()) for variable in self._variables]

    def train(self, *arguments: Any) -> tuple[Any, Any]:
        """See `Steps`."""
        return self._traced_train(*arguments)

    def evaluate(self, *batches: NDArray[Any]) -> tuple[Any, Any]:
        """See `Steps`."""
        return self._traced_evaluate(*batches)

    def _train(
        self, images: Any, labels: Any, counted: Any, rates: Any, first: Any, seed: Any, *weights: Any
    ) -> tuple[Any, Any]:

        def step(number: Any, total: Any, hits: Any) -> tuple[Any, Any, Any]:
            done, counts = first + tf.cast(number, tf.int64), counted[number]
            random, values = Random(seed, done), self._values.read_value()
            batch = images[number], labels[number], counts, *(each[number] for each in weights)
            parts = [tf.split(tensor, len(self._devices)) for tensor in batch]
            found = []
            for device, part in zip(self._devices, zip(*parts, strict=True), strict=True):
                with tf.device(device):
                    found.append(self._differentiate(values, part, tf.reduce_sum(counts), random))
            losses, gradients, right, statistics = zip(*found, strict=True)
            loss, gradient = sum(losses[1:], losses[0]), sum(gradients[1:], gradients[0])
            self._update(values, gradient, rates[number], done)
            self._update_moving(statistics)
            self._update_averaged(done)
            return number + 1, total + tf.cast(loss, tf.float64), hits + tf.cast(sum(right[1:], right[0]), tf.int64)

        return _repeat(step, tf.shape(labels)[0], tf.constant(0, tf.int64))

    def _differentiate(
        self, values: Any, batch: tuple[Any, ...], total: Any, random: Random
    ) -> tuple[Any, Any, Any, Mapping[tuple[str, str], Any]]:
        """Compute loss and gradient of a batch, or of the part of a batch on one device.

        Args:
            values: The trainable weights.
            batch: Raw images, labels, counts and, if the plan is weighted, weights.
            total: Number of images of the whole batch that count.
            random: Random numbers of the step.

        Returns:
            The sum of the losses, the gradient of this sum divided by `total`, the number of correctly classified
            images, and the statistics of the batch normalizations.
        """
        images, labels, counts, *weighted = batch
        training, classes = self._training, self._classes
        forward = Pass(_tensors(values, self.trainable), self._dtype, random)
        augmented = augment(self._standardized(images), training.augmentation.scaled(), random, self._kind)
        scores = self._layers.scores(augmented, forward)
        rest = training.label_smoothing / classes
        target = tf.one_hot(labels, classes, 1.0 - training.label_smoothing + rest, rest)
        weights = tf.gather(tf.constant(self._class_weights), labels) * counts
        for each in weighted:
            weights *= each
        loss = tf.reduce_sum(self._losses(scores, target) * weights)
        (gradient,) = tf.gradients(loss / total, values)
        right = tf.cast(tf.equal(tf.argmax(scores, axis=-1, output_type=tf.int32), labels), tf.float32)
        return loss, gradient, tf.reduce_sum(right * counts), forward.statistics

    def _evaluate(self, images: Any, labels: Any, counted: Any) -> tuple[Any, Any]:

        def step(number: Any, total: Any, counts: Any) -> tuple[Any, Any, Any]:
            trained, moving = (vector.read_value() for vector in self._evaluated)
            values = _tensors(trained, self.trainable) | _tensors(moving, self.moving)
            scores = self._layers.scores(self._standardized(images[number]), Pass(values, self._dtype))
            true = tf.one_hot(labels[number], self._classes)
            predicted = tf.one_hot(tf.argmax(scores, axis=-1), self._classes) * counted[number][:, None]
            found = tf.stack([tf.reduce_sum(predicted * true, axis=0), tf.reduce_sum(predicted, axis=0)])
            loss = tf.reduce_sum(self._losses(scores, true) * counted[number])
            return number + 1, total + tf.cast(loss, tf.float64), counts + tf.cast(found, tf.int64)

        return _repeat(step, tf.shape(labels)[0], tf.zeros([2, self._classes], tf.int64))

    def _standardized(self, images: Any) -> Any:
        return (tf.cast(images, tf.float32) - self._mean) * self._scale

    def _losses(self, scores: Any, target: Any) -> Any:
        if self._training.loss == "cross_entropy":
            losses, _ = tf.raw_ops.SoftmaxCrossEntropyWithLogits(features=scores, labels=target)
            return losses
        return tf.reduce_mean(tf.square(tf.nn.softmax(scores) - target), axis=-1)

    def _update(self, values: Any, gradient: Any, rate: Any, done: Any) -> None:
        """Change the weights as Keras's optimizers do. Weight decay is decoupled from the gradient."""
        training, weights = self._training, self._values.handle
        if training.weight_decay:
            decaying = size_of([weight for weight in self.trainable if weight.decays])
            mask = (np.arange(size_of(self.trainable)) < decaying).astype(np.float32)
            tf.raw_ops.ResourceApplyGradientDescent(
                var=weights, alpha=rate * training.weight_decay, delta=values * mask
            )
        moments = [moment.handle for moment in self._moments]
        if training.optimizer != "sgd":
            power = tf.cast(done + 1, tf.float32)
            tf.raw_ops.ResourceApplyAdam(
                var=weights, m=moments[0], v=moments[1], beta1_power=tf.pow(BETA_1, power),
                beta2_power=tf.pow(BETA_2, power), lr=rate, beta1=BETA_1, beta2=BETA_2, epsilon=EPSILON,
                grad=gradient,
            )  # fmt: skip
        elif moments:
            tf.raw_ops.ResourceApplyKerasMomentum(
                var=weights, accum=moments[0], lr=rate, grad=gradient, momentum=training.momentum, use_nesterov=True
            )
        else:
            tf.raw_ops.ResourceApplyGradientDescent(var=weights, alpha=rate, delta=gradient)

    def _update_moving(self, statistics: Sequence[Mapping[tuple[str, str], Any]]) -> None:
        """Update the moving averages of the batch normalizations with the mean of the statistics of all devices."""
        if self.moving:
            every = [
                tf.concat([each[weight.layer, weight.name] for weight in self.moving], axis=0) for each in statistics
            ]
            batch = tf.add_n(every) / len(every)
            before = self._moving.read_value()
            self._moving.assign(before * AVERAGE_MOMENTUM + batch * (1.0 - AVERAGE_MOMENTUM))

    def _update_averaged(self, done: Any) -> None:
        """Update the averages of the weights over the steps."""
        weight = (ETA + 1.0) / (tf.cast(done, tf.float32) + 1.0 + ETA)
        for averaged, current in zip(self._averaged, (self._values, self._moving), strict=False):
            averaged.assign_add(weight * (current.read_value() - averaged.read_value()))


def _traced(function: Callable[..., tuple[Any, Any]], signature: list[Any]) -> Callable[..., tuple[Any, Any]]:
    """Trace the graph of a function, and return a function that runs it."""
    graph = tf.function(function, input_signature=signature, autograph=False).get_concrete_function()

    def run(*arguments: Any) -> tuple[Any, Any]:
        with without_graph_optimizer():
            results: tuple[Any, Any] = graph(*arguments)
            return results

    return run


def _devices(gpus: int) -> list[str | None]:
    """Names of the devices that share a batch. None stands for the device that TensorFlow chooses.

    Raises:
        UserError: There are fewer GPUs.
    """
    if gpus == 1:
        return [None]
    names = [device.name for device in tf.config.list_logical_devices("GPU")]
    if gpus > len(names):
        raise UserError(f"training.gpus: must not exceed the number of GPUs, got {gpus}, found {len(names)}; lower it")
    return names[:gpus]


def _repeat(step: Callable[[Any, Any, Any], tuple[Any, Any, Any]], steps: Any, counts: Any) -> tuple[Any, Any]:
    """Return the sums of the losses and the counts of all steps."""
    start = (tf.constant(0), tf.constant(0.0, tf.float64), counts)
    _, total, counts = tf.while_loop(lambda number, *_: number < steps, step, start, parallel_iterations=1)
    return total, counts


def _tensors(vector: Any, weights: Sequence[Weight]) -> dict[tuple[str, str], Any]:
    """Split a vector into the weights that it contains, by layer and name."""
    if not weights:
        return {}
    parts = tf.split(vector, [weight.size for weight in weights])
    return {
        (weight.layer, weight.name): tf.reshape(part, weight.shape) for weight, part in zip(weights, parts, strict=True)
    }
