"""The learning rate of each step of a training run."""

import numpy as np
from numpy.typing import NDArray

from pipeline.params.training import TrainingParams

# Smith and Topin (2018), "Super-Convergence": warm up over the first 30% of the steps, from 1/25 of the peak.
WARM_UP = 0.3
START = 1 / 25


def learning_rates(training: TrainingParams, steps: int) -> NDArray[np.float32]:
    """Learning rate of each of `steps` steps, which are those of all epochs even if training stops early.

    The cosine is that of Loshchilov and Hutter (2017), "SGDR", equation 5, without restarts.
    """
    peak, step = training.learning_rate, np.arange(steps)
    match training.schedule:
        case "constant":
            rates = np.full(steps, peak)
        case "cosine":
            rates = peak * _cosine(step / max(1, steps))
        case "one_cycle":
            up = max(1, round(WARM_UP * steps))
            rising = peak * (START + (1 - START) * step / up)
            rates = np.where(step < up, rising, peak * _cosine((step - up) / max(1, steps - up)))
    return rates.astype(np.float32)


def _cosine(progress: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosine that falls from 1 to 0 while progress rises from 0 to 1."""
    return (1 + np.cos(np.pi * progress)) / 2
