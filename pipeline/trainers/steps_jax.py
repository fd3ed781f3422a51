"""The training and evaluation steps of a network in JAX: one compiled loop over many batches."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from keras.src.backend.common import global_state
from numpy.typing import NDArray

from pipeline.backend.precision import compute_dtype, is_jax_on_a_processor
from pipeline.cnn.build import build
from pipeline.cnn.geometry import compute_geometry
from pipeline.cnn.weights import Weight, weights_of
from pipeline.errors import UserError
from pipeline.trainers.dtype_policy import dtype_policy
from pipeline.trainers.trainer import ETA, Arrays, Plan, steps_per_chunk
from pipeline.trainers.vectors import BETA_1, BETA_2, EPSILON, moments_of, size_of, vector_weights

_CALLS = 1024  # random numbers of a layer that one step may draw


class JaxSteps:
    """`Steps` of Keras layers.

    Python does not take part in the loop over the batches of a call: on a GPU, it would take longer than the steps. On
    a processor a call has one batch, since XLA computes convolutions within a loop many times slower there.

    Args:
        plan: What to train. Its seed and its learning rates are arguments of the compiled functions instead.

    Raises:
        UserError: More than one GPU is demanded.
    """

    def __init__(self, plan: Plan) -> None:
        training = self._training = plan.training
        if training.gpus > 1:
            raise UserError(f"training.gpus: must be 1 unless the Keras backend is TensorFlow, got {training.gpus}")
        self._classes, self._class_weights = plan.architecture.classes, plan.class_weights
        dtype = compute_dtype(training.precision, compute_geometry(plan.architecture))
        with _without_values(), dtype_policy(dtype):
            self._network = build(
                plan.architecture,
                plan.dataset.mean,
                plan.dataset.std,
                augmentation=training.augmentation,
                logits=True,
                kind=plan.kind,
            )
        self.trainable, self.moving = vector_weights(plan.architecture)
        self.moments = moments_of(training)
        names = dict.fromkeys(weight.layer for weight in weights_of(plan.architecture))
        variables = [variable for name in names for variable in self._network.get_layer(name).weights]
        self._variables = dict(zip(weights_of(plan.architecture), variables, strict=True))
        known = {id(variable) for variable in variables}
        self._random = [variable for variable in self._network.variables if id(variable) not in known]
        self._vectors: list[jax.Array] = []
        self._compile(plan)

    def _compile(self, plan: Plan) -> None:
        """Compile both functions, for `self._length` batches."""
        size, dtype = plan.training.batch_size, np.dtype(plan.dataset.dtype)
        image = np.broadcast_to(np.zeros((), dtype), (1, *plan.architecture.input_shape))
        most = 1 if is_jax_on_a_processor() else steps_per_chunk(image, size)
        self._length = length = min(most, len(plan.learning_rates))

        def array(dtype: Any, *shape: int) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(shape, dtype)  # type: ignore[no-untyped-call]

        values, moving = (array(np.float32, size_of(weights)) for weights in (self.trainable, self.moving))
        averaged = [values, moving] if plan.training.average_weights else []
        vectors, number = [values, moving, *[values] * self.moments, *averaged], array(np.int32)
        batches = [
            array(dtype, length, size, *plan.architecture.input_shape),
            array(np.int32, length, size),
            array(np.float32, length, size),
        ]
        train = jax.jit(self._train_steps, donate_argnums=0)
        rates, seed = array(np.float32, length), array(np.uint32)
        weights = [array(np.float32, length, size)] if plan.weighted else []
        self._train = train.lower(vectors, number, *batches, rates, number, seed, *weights).compile()
        self._evaluate = jax.jit(self._evaluate_steps).lower([values, moving], number, *batches).compile()

    def set_vectors(self, vectors: Arrays) -> None:
        """See `Steps`."""
        self._vectors = [jnp.array(vector) for vector in vectors]

    def vectors(self) -> list[NDArray[np.float32]]:
        """See `Steps`."""
        return [np.array(vector) for vector in self._vectors]

    def train(
        self,
        images: NDArray[Any],
        labels: NDArray[np.int32],
        counted: NDArray[np.float32],
        rates: NDArray[np.float32],
        first: int,
        seed: int,
        *weights: NDArray[np.float32],
    ) -> tuple[Any, Any]:
        """See `Steps`."""
        results = []
        for start, steps, (*batches, rate) in self._calls(images, labels, counted, *weights, rates):
            numbers = np.int32(first + start), np.uint32(seed % 2**32)
            self._vectors, *result = self._train(self._vectors, steps, *batches[:3], rate, *numbers, *batches[3:])
            results.append(result)
        return _sums(results)

    def evaluate(
        self, images: NDArray[Any], labels: NDArray[np.int32], counted: NDArray[np.float32]
    ) -> tuple[Any, Any]:
        """See `Steps`."""
        evaluated = self._vectors[-2:] if self._training.average_weights else self._vectors[:2]
        calls = self._calls(images, labels, counted)
        return _sums([self._evaluate(evaluated, steps, *batches) for _, steps, batches in calls])

    def _calls(self, *arrays: NDArray[Any]) -> Iterator[tuple[int, np.int32, list[NDArray[Any]]]]:
        """Divide batches into calls; yield the first one's number, how many there are, and as many as a call takes."""
        for start in range(0, len(arrays[0]), self._length):
            parts = [array[start : start + self._length] for array in arrays]
            yield start, np.int32(len(parts[0])), [_padded(part, self._length) for part in parts]

    def _repeat(self, step: Callable[[Any, Any], Any], steps: Any, start: Any) -> Any:
        """Repeat a step, from its number and the results before to the results after it."""
        return step(0, start) if self._length == 1 else jax.lax.fori_loop(0, steps, step, start)

    def _train_steps(
        self,
        vectors: list[Any],
        steps: Any,
        images: Any,
        labels: Any,
        counted: Any,
        rates: Any,
        first: Any,
        seed: Any,
        *weights: Any,
    ) -> tuple[list[Any], Any, Any]:
        """Train on the first `steps` batches; return the changed vectors, and the results of `train`."""

        def step(number: Any, carry: tuple[list[Any], Any, Any]) -> tuple[list[Any], Any, Any]:
            vectors, total, hits = carry
            done = first + number
            differentiate = jax.value_and_grad(partial(self._objective, seed=seed, step=done), has_aux=True)
            batch = images[number], labels[number], counted[number], *(each[number] for each in weights)
            (_, (loss, right, moving)), gradient = differentiate(vectors[0], vectors[1], batch)
            vectors = self._updated(vectors, gradient, moving, rates[number], done)
            return vectors, total + loss, hits + right

        start = vectors, jnp.zeros((), jnp.float32), jnp.zeros((), jnp.int32)
        return self._repeat(step, steps, start)  # type: ignore[no-any-return]

    def _objective(
        self, values: Any, moving: Any, batch: tuple[Any, ...], *, seed: Any, step: Any
    ) -> tuple[Any, tuple[Any, Any, Any]]:
        """The mean loss of a batch, and the sum of its losses, its correct predictions and its moving averages."""
        images, labels, counted, *weights = batch
        numbers = [
            jnp.stack([seed + jnp.uint32(number), jnp.uint32(step) * _CALLS]) for number in range(len(self._random))
        ]
        named = _named(values, self.trainable) | _named(moving, self.moving)
        scores, changed = self._scores(images, named, numbers)
        smoothing = self._training.label_smoothing
        target = jax.nn.one_hot(labels, self._classes) * (1.0 - smoothing) + smoothing / self._classes
        losses = self._losses(scores, target) * jnp.asarray(self._class_weights)[labels] * counted
        for each in weights:
            losses *= each
        loss = jnp.sum(losses)
        right = jnp.sum((jnp.argmax(scores, axis=-1) == labels) * counted)
        return loss / jnp.sum(counted), (loss, right.astype(jnp.int32), changed)

    def _evaluate_steps(
        self, vectors: list[Any], steps: Any, images: Any, labels: Any, counted: Any
    ) -> tuple[Any, Any]:
        """Evaluate the first `steps` batches; return the results of `evaluate`."""
        named = _named(vectors[0], self.trainable) | _named(vectors[1], self.moving)

        def step(number: Any, sums: tuple[Any, Any]) -> tuple[Any, Any]:
            total, counts = sums
            scores, _ = self._scores(images[number], named)
            true, counts_here = jax.nn.one_hot(labels[number], self._classes), counted[number]
            predicted = jax.nn.one_hot(jnp.argmax(scores, axis=-1), self._classes) * counts_here[:, None]
            found = jnp.stack([jnp.sum(predicted * true, axis=0), jnp.sum(predicted, axis=0)])
            return total + jnp.sum(self._losses(scores, true) * counts_here), counts + found.astype(jnp.int32)

        start = jnp.zeros((), jnp.float32), jnp.zeros((2, self._classes), jnp.int32)
        return self._repeat(step, steps, start)  # type: ignore[no-any-return]

    def _scores(self, images: Any, named: Mapping[Weight, Any], random: Sequence[Any] | None = None) -> tuple[Any, Any]:
        """Compute the class scores of a batch, and the vector of the moving averages after it.

        Args:
            images: (batch, *grid, channels) raw values.
            named: All weights.
            random: State of the random generator of each layer that has one; None: evaluate.
        """
        states = [(self._variables[weight], value) for weight, value in named.items()]
        states += zip(self._random, random or [], strict=False)
        with keras.StatelessScope(states, initialize_variables=False) as scope:
            scores = self._network(jnp.asarray(images, jnp.float32), training=random is not None)
        changed = [scope.get_current_value(self._variables[weight]).ravel() for weight in self.moving]
        return jnp.asarray(scores, jnp.float32), jnp.concatenate([jnp.zeros(0), *changed])

    def _losses(self, scores: Any, target: Any) -> Any:
        if self._training.loss == "cross_entropy":
            return -jnp.sum(target * jax.nn.log_softmax(scores), axis=-1)
        return jnp.mean(jnp.square(jax.nn.softmax(scores) - target), axis=-1)

    def _updated(self, vectors: list[Any], gradient: Any, moving: Any, rate: Any, done: Any) -> list[Any]:
        """Change the weights as Keras's optimizers do. Weight decay is decoupled from the gradient."""
        training, power = self._training, jnp.asarray(done + 1, jnp.float32)
        values, moments = vectors[0], vectors[2 : 2 + self.moments]
        if training.weight_decay:
            decaying = size_of([weight for weight in self.trainable if weight.decays])
            values = values - rate * training.weight_decay * values * (np.arange(len(values)) < decaying)
        if training.optimizer != "sgd":
            mean = moments[0] + (gradient - moments[0]) * (1.0 - BETA_1)
            square = moments[1] + (gradient * gradient - moments[1]) * (1.0 - BETA_2)
            scale = rate * jnp.sqrt(1.0 - BETA_2**power) / (1.0 - BETA_1**power)
            values, moments = values - scale * mean / (jnp.sqrt(square) + EPSILON), [mean, square]
        elif moments:
            velocity = training.momentum * moments[0] - rate * gradient
            values, moments = values + training.momentum * velocity - rate * gradient, [velocity]
        else:
            values = values - rate * gradient
        weight = (ETA + 1.0) / (power + ETA)
        averages = zip(vectors[2 + self.moments :], (values, moving), strict=False)
        return [values, moving, *moments, *(average + weight * (current - average) for average, current in averages)]


@contextmanager
def _without_values() -> Iterator[None]:
    """Create Keras variables without values within the block, since the steps replace all of them.

    Otherwise JAX would compile an initializer for each shape, which takes seconds.
    """
    with keras.StatelessScope(initialize_variables=False):
        yield
    # Keras has no public function to forget them, and would initialize them at the end of the next scope.
    global_state.set_global_attribute("uninitialized_variables", [])


def _named(vector: Any, weights: Sequence[Weight]) -> dict[Weight, Any]:
    ends = np.cumsum([weight.size for weight in weights])
    parts = jnp.split(vector, ends[:-1]) if weights else []
    return {weight: part.reshape(weight.shape) for weight, part in zip(weights, parts, strict=True)}


def _sums(results: Sequence[Sequence[Any]]) -> tuple[Any, Any]:
    """Add up the results of calls."""
    total, counts = (sum(column[1:], column[0]) for column in zip(*results, strict=True))
    return total, counts


def _padded(array: NDArray[Any], length: int) -> NDArray[Any]:
    """Fill up the first axis with zeros. So all calls have the same shape, and the function is compiled once."""
    if len(array) == length:
        return array
    padded = np.zeros((length, *array.shape[1:]), array.dtype)
    padded[: len(array)] = array
    return padded
