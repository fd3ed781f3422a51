"""How long a network takes."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.backend.predictor import make_predictor

WARM_UP, REPEATS = 5, 100


def call_seconds(model: Any, batch: NDArray[Any], repeats: int) -> NDArray[np.float64]:
    """Seconds of each call of a network, on this machine as it is now, after a few calls that do not count.

    Args:
        model: raw values in, probabilities out.
        batch: (n, *grid, channels), raw values of the images of a call.
        repeats: calls that count.

    Returns:
        (repeats,).
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
