"""What a trainer is: a network that is trained and evaluated epoch by epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.cnn.architecture import Architecture
from pipeline.data.dataset import Dataset, Kind
from pipeline.params.training import TrainingParams
from pipeline.trainers.epoch_metrics import EvaluationMetrics

Arrays = Sequence[NDArray[Any]]
# Weight of step t = 1, 2, ... in the running average of the weights: (ETA + 1) / (t + ETA). So the average covers about
# the last ninth of the steps, without a setting that depends on their number. Source: Shamir and Zhang (2013),
# "Stochastic Gradient Descent for Non-smooth Optimization", section 4, polynomial-decay averaging.
ETA = 8
# Limits for one call to the backend. Larger chunks save no time, but delay Ctrl-C and take memory, since the images are
# copied in order.
CHUNK_STEPS = 256
CHUNK_BYTES = 64 * 1024 * 1024


def steps_per_chunk(images: NDArray[Any], batch_size: int) -> int:
    """Number of steps for one call to the backend.

    Args:
        images: (n, *grid, channels) raw values.
        batch_size: Images per step.
    """
    return max(1, min(CHUNK_STEPS, CHUNK_BYTES // max(1, int(images[:1].nbytes) * batch_size)))


@dataclass(frozen=True)
class Plan:
    """What a trainer trains.

    Attributes:
        architecture: Architecture of the network.
        training: The section `training` of params.yaml.
        dataset: Metadata of the dataset. Its mean and std standardize the input.
        class_weights: (classes,) weight of each class in the training loss.
        seed: Seed of the initial weights, dropout and augmentation.
        learning_rates: (steps,) learning rate of each step of all epochs.
        first_filters: (filters, *extent, channels) initial filters of the first convolution; None: random ones.
        weighted: Whether the images have weights in the training loss, which are passed with them.
    """

    architecture: Architecture
    training: TrainingParams
    dataset: Dataset
    class_weights: NDArray[np.float32]
    seed: int
    learning_rates: NDArray[np.float32]
    first_filters: NDArray[np.float32] | None = None
    weighted: bool = False

    @property
    def kind(self) -> Kind:
        """What the samples are; a grid of one or three axes determines it."""
        by_rank: dict[int, Kind] = {1: "series", 3: "volume"}
        return by_rank.get(self.architecture.rank, self.dataset.kind)


class Trainer(Protocol):
    """A network in training. The batches of an epoch follow the given order; the last one may be smaller."""

    def start(self, plan: Plan, state: Arrays | None) -> None:
        """Begin a training run, or resume it from a state that `state` returned in the same run."""

    def train(
        self,
        images: NDArray[Any],
        labels: NDArray[np.int64],
        order: NDArray[np.int64],
        weights: NDArray[np.float32] | None = None,
    ) -> tuple[float, float]:
        """Train for one epoch on the images in this order.

        Args:
            images: (n, *grid, channels) raw values.
            labels: (n,) true classes.
            order: Indices of the images of the epoch.
            weights: (n,) weights of the images in the loss, if the plan is weighted; None otherwise.

        Returns:
            The mean of the losses times their weights, and the accuracy, which is unweighted.
        """

    def evaluate(self, images: NDArray[Any], labels: NDArray[np.int64]) -> EvaluationMetrics:
        """Evaluate the network, without changing it."""

    def weights(self) -> list[NDArray[np.float32]]:
        """Copy the weights that are evaluated, in the order of `pipeline.cnn.weights.weights_of`.

        With `training.average_weights`, they are averages over the steps so far.
        """

    def state(self) -> list[NDArray[Any]]:
        """Copy everything that the next epoch depends on."""
