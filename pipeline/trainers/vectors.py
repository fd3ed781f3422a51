"""The weights of a network as vectors, so that one operation updates all of them, and Keras's optimizer settings."""

from collections.abc import Sequence

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.weights import Weight, weights_of
from pipeline.params.training import TrainingParams

# Of adam and adamw, as in Keras.
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7


def vector_weights(architecture: Architecture) -> tuple[list[Weight], list[Weight]]:
    """Return the trainable weights, those that decay first, and the moving averages, in the order of their vectors."""
    weights = weights_of(architecture)
    trainable = sorted((weight for weight in weights if weight.trainable), key=lambda weight: not weight.decays)
    return trainable, [weight for weight in weights if not weight.trainable]


def moments_of(training: TrainingParams) -> int:
    """Number of vectors in which the optimizer keeps moments of the gradient."""
    return {"sgd": int(training.momentum > 0)}.get(training.optimizer, 2)


def size_of(weights: Sequence[Weight]) -> int:
    """Number of values of these weights."""
    return sum(weight.size for weight in weights)
