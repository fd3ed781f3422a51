"""Optimizer and learning rate schedule of a training run."""

from typing import Any

import keras

from pipeline.params.training import TrainingParams

# Smith and Topin (2018), "Super-Convergence": warm up over the first 30% of the steps, from 1/25 of the peak.
WARM_UP = 0.3
START = 1 / 25


def make_optimizer(training: TrainingParams, steps: int) -> Any:
    """Create a Keras optimizer whose schedule spans `steps`, the steps of all epochs even if training stops early.

    Weight decay is decoupled from the gradient, and excludes biases and the scales and shifts of normalizations.
    """
    rate = _learning_rate(training, steps)
    decay = training.weight_decay or None
    optimizer: Any
    match training.optimizer:
        case "sgd":
            optimizer = keras.optimizers.SGD(
                rate, momentum=training.momentum, nesterov=training.momentum > 0, weight_decay=decay
            )
        case "adam" | "adamw":  # with a weight decay Keras's Adam is AdamW
            optimizer = _adam()(rate, weight_decay=decay)
    if decay is not None:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _adam() -> Any:
    if keras.backend.backend() != "tensorflow":
        return keras.optimizers.Adam
    from pipeline.backend.adam_tensorflow import Adam

    return Adam


def _learning_rate(training: TrainingParams, steps: int) -> Any:
    peak, schedules = training.learning_rate, keras.optimizers.schedules
    match training.schedule:
        case "constant":
            return peak
        case "cosine":
            return schedules.CosineDecay(peak, steps)
        case "one_cycle":
            up = max(1, round(WARM_UP * steps))
            return schedules.CosineDecay(peak * START, max(1, steps - up), warmup_target=peak, warmup_steps=up)
