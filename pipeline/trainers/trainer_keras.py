"""Training and evaluation of a network with Keras's own loops, for backbones and backends without own steps."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.backbones.backbone import Backbone
from pipeline.backbones.weights_file import read_weights
from pipeline.backend.name import backend_name
from pipeline.backend.precision import compute_dtype
from pipeline.cnn.build import build
from pipeline.cnn.geometry import compute_geometry
from pipeline.cnn.weights import frozen_layers, initial_weights, layer_weights, set_weights, weights_of
from pipeline.errors import UserError
from pipeline.params.training import AugmentationParams, TrainingParams
from pipeline.trainers.dtype_policy import dtype_policy
from pipeline.trainers.epoch_metrics import EvaluationMetrics, make_metrics
from pipeline.trainers.trainer import ETA, Arrays, Plan, steps_per_chunk

_EVALUATION_BATCH = 256
_AVERAGES = "averages"  # name of the layer that holds the averages of the weights


class KerasTrainer:
    """A `Trainer` of Keras layers, with a Keras optimizer."""

    def __init__(self, plan: Plan) -> None:
        training = plan.training
        if training.gpus > 1:
            rule = "for model.backbone" if plan.architecture.backbone else "unless the Keras backend is TensorFlow"
            raise UserError(f"training.gpus: must be 1 {rule}, got {training.gpus}")
        self._training, self._weights = training, weights_of(plan.architecture)
        self._classes = plan.architecture.classes
        dtype = compute_dtype(training.precision, compute_geometry(plan.architecture))
        with dtype_policy(dtype):
            self._network = self._evaluated = self._build(plan, training.augmentation)
            if training.average_weights:
                self._evaluated = self._build(plan)
        set_weights(self._network, self._weights, initial_weights(self._weights, plan.seed, plan.first_filters))
        if plan.architecture.backbone is not None:
            _start_backbone(self._network, plan.architecture.backbone)
        for name in frozen_layers(self._weights):
            self._network.get_layer(name).trainable = False
        if training.average_weights:
            self._network = AveragingNetwork(self._network, list(dict.fromkeys(each.layer for each in self._weights)))
        optimizer = _make_optimizer(training, plan.learning_rates)
        optimizer.build(self._network.trainable_variables)
        self._variables = [*self._network.variables, *optimizer.variables]
        self._initial = self.state()
        self._compile(optimizer, plan.class_weights)

    def _build(self, plan: Plan, augmentation: AugmentationParams | None = None) -> Any:
        dataset = plan.dataset
        return build(
            plan.architecture,
            dataset.mean,
            dataset.std,
            augmentation=augmentation,
            seed=plan.seed,
            logits=True,
            kind=plan.kind,
            value_range=dataset.value_range,
        )

    def _compile(self, optimizer: Any, class_weights: NDArray[np.float32]) -> None:
        smoothing = self._training.label_smoothing

        def losses(labels: Any, logits: Any) -> Any:
            labels = keras.ops.cast(labels, "int32")
            target = keras.ops.one_hot(labels, self._classes) * (1.0 - smoothing) + smoothing / self._classes
            return self._losses(logits, target) * keras.ops.take(class_weights, labels)

        accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        self._network.compile(optimizer, loss=losses, metrics=[accuracy])

    def start(self, plan: Plan, state: Arrays | None) -> None:
        """See `Trainer`."""
        for variable, value in zip(self._variables, self._initial if state is None else state, strict=True):
            variable.assign(value)

    def weights(self) -> list[NDArray[np.float32]]:
        """See `Trainer`."""
        if self._training.average_weights:  # in the same order
            return [np.array(value) for value in self._network.get_layer(_AVERAGES).get_weights()]
        return layer_weights(self._network, self._weights)

    def state(self) -> list[NDArray[Any]]:
        """See `Trainer`."""
        return _values(self._variables)

    def train(
        self,
        images: NDArray[Any],
        labels: NDArray[np.int64],
        order: NDArray[np.int64],
        weights: NDArray[np.float32] | None = None,
    ) -> tuple[float, float]:
        """See `Trainer`."""
        batch_size = self._training.batch_size
        # With TensorFlow, fit would print errors of tf.data whenever it is called.
        batchwise = backend_name() == "tensorflow"
        length = batch_size * (1 if batchwise else steps_per_chunk(images, batch_size))
        total, hits = 0.0, 0
        for start in range(0, len(order), length):
            part = order[start : start + length]
            given = images[part], labels[part].astype(np.int32)
            weighted = None if weights is None else weights[part]
            if batchwise:
                result = self._network.train_on_batch(*given, sample_weight=weighted, return_dict=True)
                loss, accuracy = float(result["loss"]), float(result["accuracy"])
            else:
                history = self._network.fit(
                    *given, batch_size=batch_size, sample_weight=weighted, shuffle=False, verbose=0
                ).history
                loss, accuracy = history["loss"][0], history["accuracy"][0]
            total += loss * len(part)
            hits += round(accuracy * len(part))
        return total / len(order), hits / len(order)

    def evaluate(self, images: NDArray[Any], labels: NDArray[np.int64]) -> EvaluationMetrics:
        """See `Trainer`."""
        batch_size = max(self._training.batch_size, _EVALUATION_BATCH)
        if self._training.average_weights:
            set_weights(self._evaluated, self._weights, self.weights())
        parts = (images[start : start + batch_size] for start in range(0, len(labels), batch_size))
        logits = np.concatenate([np.asarray(self._evaluated.predict_on_batch(part), np.float32) for part in parts])
        target = np.eye(self._classes, dtype=np.float32)[labels]
        total = np.sum(keras.ops.convert_to_numpy(self._losses(logits, target)), dtype=np.float64)
        predicted = logits.argmax(axis=1)
        hits = np.bincount(predicted[predicted == labels], minlength=self._classes)
        return make_metrics(float(total), hits, np.bincount(predicted, minlength=self._classes), labels)

    def _losses(self, logits: Any, target: Any) -> Any:
        if self._training.loss == "cross_entropy":
            return keras.ops.categorical_crossentropy(target, logits, from_logits=True)
        return keras.ops.mean(keras.ops.square(keras.ops.softmax(logits) - target), axis=-1)


def _start_backbone(network: Any, backbone: Backbone) -> None:
    """Set the layers of a backbone to the weights of its file, if there is one."""
    if backbone.weights is not None:
        for name, values in read_weights(backbone).items():
            network.get_layer(name).set_weights(values)


class Averages(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """The running averages of variables, as a layer, so that they are part of the state of a network.

    It returns its input unchanged.
    """

    def __init__(self, sources: Sequence[Any]) -> None:
        super().__init__(name=_AVERAGES, trainable=False)
        for source in sources:
            self.add_weight(shape=source.shape, dtype="float32", trainable=False).assign(source)

    def call(self, inputs: Any) -> Any:
        return inputs


class AveragingNetwork(keras.Model):  # type: ignore[misc]  # Keras has no types
    """A network that updates the averages of its weights after each step.

    The last layer holds the averages of the weights of `layer_names`, in this order.
    """

    def __init__(self, network: Any, layer_names: Sequence[str]) -> None:
        sources = [variable for name in layer_names for variable in network.get_layer(name).weights]
        super().__init__(network.inputs, Averages(sources)(network.outputs[0]))
        self.layer_names = list(layer_names)

    def train_step(self, *arguments: Any) -> Any:
        """See Keras."""
        result = super().train_step(*arguments)
        self._average()
        return result

    def _average(self) -> None:
        weight = (ETA + 1.0) / (keras.ops.cast(self.optimizer.iterations, "float32") + ETA)
        sources = [variable for name in self.layer_names for variable in self.get_layer(name).weights]
        for average, source in zip(self.get_layer(_AVERAGES).weights, sources, strict=True):
            average.assign(average + weight * (source - average))


def _make_optimizer(training: TrainingParams, rates: NDArray[np.float32]) -> Any:
    """Create a Keras optimizer. Weight decay excludes biases, and the scales and shifts of normalizations."""
    schedule, decay = _Schedule(rates), training.weight_decay or None
    optimizer: Any
    match training.optimizer:
        case "sgd":
            optimizer = keras.optimizers.SGD(
                schedule, momentum=training.momentum, nesterov=training.momentum > 0, weight_decay=decay
            )
        case "adam" | "adamw":  # with a weight decay Keras's Adam is AdamW
            optimizer = keras.optimizers.Adam(schedule, weight_decay=decay)
    if decay is not None:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


class _Schedule(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]  # Keras has no types
    """The learning rate of each step, from a table."""

    def __init__(self, rates: NDArray[np.float32]) -> None:
        self._rates = rates

    def __call__(self, step: Any) -> Any:
        last = len(self._rates) - 1
        return keras.ops.take(self._rates, keras.ops.minimum(keras.ops.cast(step, "int32"), last))


def _values(variables: Iterable[Any]) -> list[NDArray[Any]]:
    """Copy the values of variables, so that later steps cannot change them."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
