"""Measure how fast this machine trains a network."""

import os
import time
from typing import NamedTuple

import numpy as np

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.geometry import compute_geometry
from pipeline.cnn.training_cost import estimated_seconds
from pipeline.data.dataset import Dataset
from pipeline.data.split import Split, SplitName, make_split
from pipeline.data.training_data import TrainingData
from pipeline.params import SearchParams, TrainingParams

_EPOCHS = 4  # enough for a steady measurement
# Approximate time of an epoch of the measurement on two cores with AVX2, and their multiply-accumulates per second in
# training, forward and backward passes together.
_EPOCH_SECONDS = 0.5
MACS_PER_SECOND = 40e9
# Speed of a worker, compared with one that has the machine for itself, as measured with two processes on two cores.
_SHARED_SPEED = 0.85


class TrainingSpeed(NamedTuple):
    """The time of a training run on this machine.

    Attributes:
        run: Seconds per training run, regardless of its images.
        image: Seconds per training image, including validation.
    """

    run: float
    image: float


def measure_training_speed(
    architecture: Architecture, training: TrainingParams, dataset: Dataset, seed: int
) -> TrainingSpeed:
    """Train a network on random images for a few epochs. The first training run of a process is slower.

    Args:
        architecture: The network.
        training: The section `training`. Learning rate, epochs, patience and gpus are ignored.
        dataset: Metadata of the dataset. Its counts limit the training images, and give the share of validation images.
        seed: Seed of the images.
    """
    from pipeline.training.fit import fit

    short = {"epochs": _EPOCHS, "patience": None, "gpus": 1, "learning_rate": 1e-6}  # too low to diverge
    counts = {name: sum(dataset.counts[name].values()) for name in ("train", "val")}
    per_image = estimated_seconds(compute_geometry(architecture).macs, MACS_PER_SECOND)
    images = min(counts["train"], max(training.batch_size, round(_EPOCH_SECONDS / per_image)))
    random = np.random.default_rng(seed)

    def split(name: SplitName, number: int) -> Split:
        values = random.integers(0, 256, (number, *dataset.input_shape)).astype(dataset.dtype)
        return make_split(name, values, random.integers(0, len(dataset.classes), number))

    train, val = split("train", images), split("val", max(1, images * counts["val"] // counts["train"]))
    seconds: list[float] = []
    began = time.perf_counter()
    fit(
        architecture,
        training.model_copy(update=short),
        TrainingData(dataset, train, val),
        seed=seed,
        on_epoch=lambda *each: seconds.append(each[1]),
    )
    steady = min(seconds[1:])
    return TrainingSpeed(max(0.0, time.perf_counter() - began - _EPOCHS * steady), steady / images)


def study_speedup(settings: SearchParams) -> float:
    """Return how much faster the workers of a study are together than one. On this machine they share its cores.

    The number of threads of each has little influence: small networks use one core most of the time.
    """
    workers = min(settings.workers, settings.concurrency)
    if settings.engine == "ray" and settings.ray.address is not None:
        return workers
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    side_by_side = min(workers, cores)
    return 1.0 if side_by_side == 1 else side_by_side * _SHARED_SPEED
