"""Training and evaluation of a network in compiled steps, whose weights are a few vectors."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.cnn.weights import Weight, initial_weights, weights_of
from pipeline.data.mapped_rows import request
from pipeline.trainers.epoch_metrics import EvaluationMetrics, make_metrics
from pipeline.trainers.trainer import Arrays, Plan, steps_per_chunk

T = TypeVar("T")


class Steps(Protocol):
    """Compiled training and evaluation steps, and the vectors that they change.

    The vectors are float32: the trainable weights, the moving averages of the batch normalizations, one for each moment
    of the optimizer, and, with `training.average_weights`, the averages of the first two over the steps.

    Attributes:
        trainable: The trainable weights in the order of their vector.
        moving: The moving averages in the order of their vector.
        moments: Number of moments of the optimizer.
    """

    trainable: list[Weight]
    moving: list[Weight]
    moments: int

    def set_vectors(self, vectors: Arrays) -> None:
        """Set all vectors."""

    def vectors(self) -> list[NDArray[np.float32]]:
        """Copy all vectors."""

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
        """Train on batches.

        Args:
            images: (steps, batch, *grid, channels) raw values.
            labels: (steps, batch) true classes.
            counted: (steps, batch) 1 for images that count in the loss, 0 for the others.
            rates: (steps,) learning rates.
            first: Number of steps before these.
            seed: Seed of dropout and augmentation.
            weights: (steps, batch) weights of the images in the loss, if the plan is weighted; nothing otherwise.

        Returns:
            The sum of the losses, and the number of correctly classified images. They may be computed after the return.
        """

    def evaluate(
        self, images: NDArray[Any], labels: NDArray[np.int32], counted: NDArray[np.float32]
    ) -> tuple[Any, Any]:
        """Evaluate batches, which are given as for `train`.

        Returns:
            The sum of the losses, and counts (2, classes): correctly classified images, and images predicted as each
            class. They may be computed after the return.
        """


class StepTrainer:
    """A `Trainer` whose batches all have the same size.

    One batch size needs one set of compiled operations. A smaller last batch is filled up with other images of the
    epoch, which do not count in the loss. They do count in the statistics of batch normalization.
    """

    def __init__(self, plan: Plan, steps: Steps) -> None:
        self._plan, self._steps = plan, steps
        self._weights = weights_of(plan.architecture)
        self._done = 0

    def start(self, plan: Plan, state: Arrays | None) -> None:
        """See `Trainer`."""
        self._plan = plan
        if state is None:
            values = initial_weights(self._weights, plan.seed, plan.first_filters)
            named = dict(zip(self._weights, values, strict=True))
            first = [_joined(weights, named) for weights in (self._steps.trainable, self._steps.moving)]
            moments = [np.zeros_like(first[0])] * self._steps.moments
            state = [*first, *moments, *(first if plan.training.average_weights else []), np.array(0)]
        *vectors, done = state
        self._steps.set_vectors(vectors)
        self._done = int(done)

    def weights(self) -> list[NDArray[np.float32]]:
        """See `Trainer`."""
        vectors = self._steps.vectors()
        values, moving = vectors[-2:] if self._plan.training.average_weights else vectors[:2]
        named = dict(_split(values, self._steps.trainable)) | dict(_split(moving, self._steps.moving))
        return [np.array(named[weight]) for weight in self._weights]

    def state(self) -> list[NDArray[Any]]:
        """See `Trainer`."""
        return [*self._steps.vectors(), np.array(self._done)]

    def train(
        self,
        images: NDArray[Any],
        labels: NDArray[np.int64],
        order: NDArray[np.int64],
        weights: NDArray[np.float32] | None = None,
    ) -> tuple[float, float]:
        """See `Trainer`."""
        total, hits = 0.0, 0
        for loss, right in _one_behind(self._train(images, labels, order, weights)):
            total, hits = total + float(loss), hits + int(right)
        return total / len(order), hits / len(order)

    def _train(
        self,
        images: NDArray[Any],
        labels: NDArray[np.int64],
        order: NDArray[np.int64],
        weights: NDArray[np.float32] | None,
    ) -> Iterator[tuple[Any, Any]]:
        for read, places, counted in _reading_ahead(images, self._chunks(images, order)):
            batches = read, labels[places].astype(np.int32), counted
            rates = self._plan.learning_rates[self._done : self._done + len(places)]
            weighted = () if weights is None else (weights[places],)
            yield self._steps.train(*batches, rates, self._done, self._plan.seed, *weighted)
            self._done += len(places)

    def evaluate(self, images: NDArray[Any], labels: NDArray[np.int64]) -> EvaluationMetrics:
        """See `Trainer`."""
        total, counts = 0.0, np.zeros((2, self._plan.architecture.classes), np.int64)
        results = (
            self._steps.evaluate(read, labels[places].astype(np.int32), counted)
            for read, places, counted in _reading_ahead(images, self._chunks(images, np.arange(len(labels))))
        )
        for loss, found in _one_behind(results):
            total, counts = total + float(loss), counts + np.asarray(found)
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


def _reading_ahead(
    images: NDArray[Any], chunks: Iterable[tuple[NDArray[np.int64], NDArray[np.float32]]]
) -> Iterator[tuple[NDArray[Any], NDArray[np.int64], NDArray[np.float32]]]:
    """Yield the images of each chunk with it. A thread reads the next images, so that no step waits for a disk."""

    def read(places: NDArray[np.int64]) -> NDArray[Any]:
        request(images, places)
        return images[places]

    with ThreadPoolExecutor(1) as thread:
        following: tuple[Future[NDArray[Any]], NDArray[np.int64], NDArray[np.float32]] | None = None
        for places, counted in chunks:
            current, following = following, (thread.submit(read, places), places, counted)
            if current is not None:
                yield current[0].result(), current[1], current[2]
        if following is not None:
            yield following[0].result(), following[1], following[2]


def _one_behind(results: Iterable[T]) -> Iterator[T]:
    """Yield each result after the next one has been requested, so that a GPU computes while images are copied."""
    waiting: list[T] = []
    for result in results:
        yield from waiting
        waiting = [result]
    yield from waiting


def _joined(weights: Sequence[Weight], values: Mapping[Weight, NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate([np.zeros(0, np.float32), *(values[weight].ravel() for weight in weights)])


def _split(vector: NDArray[np.float32], weights: Sequence[Weight]) -> Iterator[tuple[Weight, NDArray[np.float32]]]:
    start = 0
    for weight in weights:
        yield weight, vector[start : start + weight.size].reshape(weight.shape)
        start += weight.size
