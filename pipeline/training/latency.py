"""Measure the latency of an architecture."""

import numpy as np

from pipeline.cnn.architecture import Architecture
from pipeline.data.dataset import Dataset


def measure_latency(architecture: Architecture, dataset: Dataset, threads: int) -> float:
    """Median time in milliseconds to classify one image on this machine, at its current load.

    Args:
        architecture: Architecture of the network; the weights do not matter.
        dataset: Metadata of the dataset; its mean and std standardize the input.
        threads: Processor threads, which are fixed once per process.

    Raises:
        Infeasible: The architecture does not fit its input.
    """
    from pipeline.backend.runtime import configure
    from pipeline.backend.timing import REPEATS, call_seconds
    from pipeline.cnn.build import build

    configure(threads)
    network = build(architecture, dataset.mean, dataset.std, value_range=dataset.value_range)
    image = np.zeros((1, *architecture.input_shape), np.float32)
    return float(np.median(call_seconds(network, image, REPEATS))) * 1000
