"""Predict class probabilities in batches."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.backend.name import backend_name
from pipeline.backend.runtime import disable_remapper


def make_predictor(model: keras.Model, batch_size: int) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
    """Return a function from images (n, *grid, channels), raw values, to class probabilities (n, classes).

    Creating the function takes longer than calling it.

    Args:
        model: Keras model from raw values to probabilities.
        batch_size: Images per step.
    """
    predict = make_batch_predictor(model)

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
