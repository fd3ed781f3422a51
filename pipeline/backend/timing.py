"""Measure the prediction time of a network."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.backend.predictor import make_predictor

WARM_UP, REPEATS = 5, 100


def call_seconds(model: Any, batch: NDArray[Any], repeats: int) -> NDArray[np.float64]:
    """Measure the time of each call of a network on this machine, after a few warm-up calls.

    Args:
        model: Keras model from raw values to probabilities.
        batch: (n, *grid, channels) raw values of the images of one call.
        repeats: Number of measured calls.

    Returns:
        (repeats,) seconds.
    """
    predict, images = make_predictor(model, len(batch)), np.asarray(batch, np.float32)
    for _ in range(WARM_UP):
        predict(images)
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        predict(images)
        taken.append(time.perf_counter() - began)
    return np.array(taken)
