"""Predict class probabilities in batches."""

from collections.abc import Callable
from math import prod
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.backend.name import backend_name
from pipeline.backend.runtime import disable_remapper

# Float32 values of one batch: its input, and the inputs and outputs of its largest layer. 2**27 values are 512 MiB.
_MAX_VALUES = 2**27


def batch_that_fits(model: keras.Model, batch_size: int) -> int:
    """Number of samples per step, such that large samples and feature maps fit in memory: at most `batch_size`.

    Args:
        model: Keras model with a defined input shape.
        batch_size: Requested number of samples per step.
    """
    outputs = [tensor for layer in model.layers for tensor in keras.tree.flatten(layer.output)]
    largest = max(prod(extent or 1 for extent in tensor.shape[1:]) for tensor in outputs)
    inputs = prod(extent or 1 for extent in model.input_shape[1:])
    return max(1, min(batch_size, int(_MAX_VALUES // (inputs + 2 * largest))))


def make_predictor(model: keras.Model, batch_size: int) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
    """Return a function from images (n, *grid, channels), raw values, to class probabilities (n, classes).

    Creating the function takes longer than calling it.

    Args:
        model: Keras model from raw values to probabilities.
        batch_size: Images per step; fewer if they are large.
    """
    predict, batch_size = make_batch_predictor(model), batch_that_fits(model, batch_size)

    def probabilities(images: NDArray[Any]) -> NDArray[np.float64]:
        batches = (images[start : start + batch_size] for start in range(0, len(images), batch_size))
        return normalized(np.concatenate([predict(np.asarray(batch, np.float32)) for batch in batches]))

    return probabilities


def make_batch_predictor(model: keras.Model) -> Callable[[NDArray[np.float32]], Any]:
    """Return a function from a batch of images to the model's output, or the list of its outputs, as arrays."""
    if backend_name() != "tensorflow":
        return lambda batch: keras.tree.map_structure(np.asarray, model.predict_on_batch(batch))
    import tensorflow as tf

    disable_remapper()
    signature = [tf.TensorSpec([None, *model.input_shape[1:]], tf.float32)]
    predict = tf.function(lambda batch: model(batch, training=False), input_signature=signature)
    return lambda batch: tf.nest.map_structure(lambda value: value.numpy(), predict(batch))


def normalized(outputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Scale each row to sum to 1 in float64; the float32 output of the network does so only roughly."""
    probabilities = outputs.astype(float)
    return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True))


def predict_probabilities(model: keras.Model, images: NDArray[Any], batch_size: int) -> NDArray[np.float64]:
    """Predict class probabilities of images, as with `make_predictor`."""
    return make_predictor(model, batch_size)(images)
