"""The training loop, for the rungs of a study and for the final training run."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.backend.runtime import configure
from pipeline.cnn.architecture import Architecture
from pipeline.cnn.build import build
from pipeline.cnn.weights import set_weights, weights_of
from pipeline.data.dataset import Dataset
from pipeline.data.training_data import TrainingData
from pipeline.params.training import TrainingParams
from pipeline.trainers.cache import TRAINER_CACHE
from pipeline.trainers.trainer import Plan
from pipeline.training.epoch_order import images_of_each_epoch, order_of_epoch, share_of_each_epoch
from pipeline.training.fingerprint import training_key
from pipeline.training.history import EpochMetrics, best_epoch
from pipeline.training.learning_rate import learning_rates
from pipeline.training.loss_weights import class_weights, sample_weights
from pipeline.training.state import Arrays, State, StateError, pack, unpack
from pipeline.training.whitening import whitening_filters

OnEpoch = Callable[[EpochMetrics, float, Callable[[], bytes]], None]


class Diverged(Exception):
    """The loss is NaN or infinite. The message names the epoch."""


@dataclass(frozen=True)
class Fit:
    """Result of a training run after its last epoch, or between two rungs.

    Attributes:
        history: Metrics of all epochs so far, including earlier rungs.
        state: Serialized state, from which the training resumes in any process.
        best_epoch: Number of the epoch whose weights `model` has.
        stopped_early: Whether the training stopped because patience ran out.
    """

    history: tuple[EpochMetrics, ...]
    state: bytes = field(repr=False)
    best_epoch: int
    stopped_early: bool
    _architecture: Architecture = field(repr=False)
    _dataset: Dataset = field(repr=False)
    _best: Arrays = field(repr=False)

    def model(self) -> Any:
        """Build a network with the best weights: built-in layers, float32, raw values to probabilities."""
        dataset = self._dataset
        network = build(self._architecture, dataset.mean, dataset.std, value_range=dataset.value_range)
        set_weights(network, weights_of(self._architecture), self._best)
        return network


def fit(
    architecture: Architecture,
    training: TrainingParams,
    data: TrainingData,
    *,
    seed: int,
    shares: Sequence[float] | None = None,
    state: bytes | None = None,
    until: int | None = None,
    on_epoch: OnEpoch | None = None,
) -> Fit:
    """Train a network, or resume its training.

    The result depends only on the arguments. Resuming from a state, in this process or in another one on the same kind
    of machine, gives the same result bit for bit as a training run that never stopped.

    Args:
        architecture: Architecture of the network.
        training: The section `training` of params.yaml. The schedule always spans training.epochs.
        data: The splits to train and validate on. The weights of the training split count in the training loss; all
            other metrics are unweighted.
        seed: Seed of weights, dropout, augmentation and the order of images.
        shares: Share of the training images that each epoch uses: one number above 0 and up to 1 for each of
            training.epochs. Each epoch draws its own images. None: all images in every epoch.
        state: State of an earlier call with otherwise equal arguments; None: start from the beginning.
        until: Stop after this epoch; None: after training.epochs.
        on_epoch: Called after each epoch with its metrics, its duration in seconds, and a function that returns the
            state.

    Raises:
        Diverged: A loss is NaN or infinite.
        Infeasible: The architecture does not fit its input.
        StateError: `state` is damaged, or belongs to another training.
        UserError: The grid does not support an enabled augmentation, or the device does not support the precision or
            has fewer GPUs than `training.gpus`.
        ValueError: `shares` does not contain one number above 0 and up to 1 for each epoch.
    """
    configure(training.threads)
    dataset, train, val = data.dataset, data.train, data.val
    key = training_key(architecture, training, data, seed, shares)
    taken = images_of_each_epoch(share_of_each_epoch(shares, training.epochs), len(train.labels))
    steps = [-(-images // training.batch_size) for images in taken]
    earlier = None if state is None else unpack(state)
    if earlier is not None and earlier.key != key:
        raise StateError(
            f"a state must be from the training with the same architecture, settings, data and seed ({key}), "
            f"got one from {earlier.key}"
        )
    weights = sample_weights(train)
    plan = Plan(
        architecture=architecture,
        training=training,
        dataset=dataset,
        class_weights=class_weights(training.class_weight, train.labels, architecture.classes, weights),
        seed=_weights_seed(seed),
        learning_rates=learning_rates(training, sum(steps)),
        first_filters=whitening_filters(architecture, data) if training.first_layer == "whitening" else None,
        weighted=weights is not None,
    )
    trainer = TRAINER_CACHE.get(plan)
    trainer.start(plan, None if earlier is None else earlier.trainer)
    history = () if earlier is None else earlier.history
    best = trainer.weights() if earlier is None else earlier.best

    def snapshot() -> bytes:
        return pack(State(key, history, trainer.state(), best))

    end = min(training.epochs, training.epochs if until is None else until)
    while len(history) < end and not _out_of_patience(training, history):
        began = time.perf_counter()
        epoch = len(history) + 1
        learning_rate = float(plan.learning_rates[sum(steps[: epoch - 1])])
        order = order_of_epoch(seed, epoch, len(train.labels), taken[epoch - 1])
        loss, accuracy = trainer.train(train.images, train.labels, order, weights)
        validation = trainer.evaluate(val.images, val.labels)
        metrics = EpochMetrics(
            epoch,
            loss,
            accuracy,
            validation.loss,
            validation.accuracy,
            validation.macro_f1,
            validation.balanced_accuracy,
            learning_rate,
        )
        _require_numbers(metrics)
        history = (*history, metrics)
        if best_epoch(history) == epoch:
            best = trainer.weights()
        if on_epoch is not None:
            on_epoch(metrics, time.perf_counter() - began, snapshot)
    return Fit(
        history=history,
        state=snapshot(),
        best_epoch=best_epoch(history),
        stopped_early=len(history) < training.epochs and _out_of_patience(training, history),
        _architecture=architecture,
        _dataset=dataset,
        _best=best,
    )


def _weights_seed(seed: int) -> int:
    return int(np.random.SeedSequence(seed, spawn_key=(0,)).generate_state(1)[0]) >> 2


def _out_of_patience(training: TrainingParams, history: tuple[EpochMetrics, ...]) -> bool:
    return training.patience is not None and len(history) - best_epoch(history) >= training.patience


def _require_numbers(metrics: EpochMetrics) -> None:
    for name, value in (("training", metrics.loss), ("validation", metrics.val_loss)):
        if not np.isfinite(value):
            raise Diverged(
                f"epoch {metrics.epoch}: the {name} loss must be a finite number, got {value}; "
                "lower training.learning_rate"
            )
