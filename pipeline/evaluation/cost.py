"""Measure the cost of a network on this machine: time, memory, energy."""

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.backend.predictor import batch_that_fits
from pipeline.backend.timing import REPEATS, WARM_UP, call_seconds
from pipeline.machine.device import EnergyMeter

BATCH, BATCH_REPEATS = 256, 30
_PER_MEBIBYTE = 1024 * 1024 if sys.platform == "darwin" else 1024  # unit of ru_maxrss: bytes on macOS, else KiB


@dataclass(frozen=True)
class Cost:
    """Cost of a network on this machine, at its current load.

    Attributes:
        latency_ms: Median time for one image.
        latency_p95_ms: 95th percentile of the time for one image.
        images_per_second: Median throughput in batches.
        images_per_second_p5: 5th percentile of the throughput; 19 of 20 batches are faster.
        peak_memory_mb: Peak resident memory of this process so far, including TensorFlow, in MiB.
        joules_per_image: Energy of the GPUs in the same batches; None without a GPU that measures it.
        batch: Samples per batch: 256, or fewer if they are large.
    """

    latency_ms: float
    latency_p95_ms: float
    images_per_second: float
    images_per_second_p5: float
    peak_memory_mb: float
    joules_per_image: float | None
    batch: int = BATCH

    @property
    def metrics(self) -> dict[str, float]:
        """The values that could be measured, by name."""
        return {name: value for name, value in vars(self).items() if value is not None and name != "batch"}


def measure_cost(model: Any, images: NDArray[Any]) -> Cost:
    """Measure the cost of a network on single images and on batches.

    Args:
        model: Keras model from raw values to probabilities.
        images: (n, *grid, channels) raw values; repeated if they are fewer than a batch.
    """
    import resource

    size = batch_that_fits(model, BATCH)
    batch = np.asarray(np.resize(images[:size], (size, *images.shape[1:])), np.float32)
    single = call_seconds(model, batch[:1], REPEATS)
    meter = EnergyMeter()
    many = size / call_seconds(model, batch, BATCH_REPEATS)
    watt_hours = meter.watt_hours()
    return Cost(
        latency_ms=float(np.median(single)) * 1000,
        latency_p95_ms=float(np.percentile(single, 95)) * 1000,
        images_per_second=float(np.median(many)),
        images_per_second_p5=float(np.percentile(many, 5)),
        peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _PER_MEBIBYTE,
        batch=size,
        joules_per_image=None if watt_hours is None else watt_hours * 3600 / (size * (WARM_UP + BATCH_REPEATS)),
    )
