"""How long a network takes for one image."""

import numpy as np

from pipeline.cnn.architecture import Architecture
from pipeline.data.dataset import Dataset


def measure_latency(architecture: Architecture, dataset: Dataset, threads: int) -> float:
    """The median time in milliseconds to classify one image, on this machine as it is now.

    Args:
        architecture: of the network; its weights do not matter.
        dataset: its mean and std standardise the input.
        threads: processor threads, which a process takes once only.

    Raises:
        Infeasible: the architecture does not fit its input.
    """
    from pipeline.backend.runtime import configure
    from pipeline.backend.timing import REPEATS, call_seconds
    from pipeline.cnn.build import build

    configure(threads)
    network = build(architecture, dataset.mean, dataset.std)
    image = np.zeros((1, *architecture.input_shape), np.float32)
    return float(np.median(call_seconds(network, image, REPEATS))) * 1000
