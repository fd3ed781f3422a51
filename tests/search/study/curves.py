"""Shared by tests of studies: a space, learning curves with a latency, and the rows of a table."""

import csv
import io
from dataclasses import replace

from pipeline.cnn.geometry import compute_geometry
from pipeline.data.training_data import TrainingData
from search.study.job import Job, RungResult
from tests.search.work import learn

WIDE = {
    "filters": {"choices": (2, 4, 8, 16, 32, 64)},
    "kernel_size": {"choices": (1, 3, 5)},
    "learning_rate": {"low": 0.001, "high": 0.1, "log": True},
}

LATENCY = {"max_params": None, "max_macs": None, "max_activation_mb": None, "max_latency_ms": 1.4}


def rows(table: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table)))


def learn_with_latency(job: Job, data: TrainingData) -> RungResult:
    """Return a learning curve, and a latency determined by the size of the network."""
    assert job.measure_latency == (job.state is None)
    latency = compute_geometry(job.architecture).params / 10_000
    if job.max_latency_ms is not None and latency > job.max_latency_ms:
        return RungResult(latency_ms=latency)
    return replace(learn(job, data), latency_ms=latency)
