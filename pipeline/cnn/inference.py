"""A network's answers to many images."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.cnn.passes import make_answering


def predict_probabilities(model: keras.Model, images: NDArray[Any], batch_size: int) -> NDArray[np.float64]:
    """The probability of each class.

    Args:
        model: raw values in, probabilities out.
        images: (n, *grid, channels), raw values.
        batch_size: images per step.

    Returns:
        (n, classes); each row sums to 1, which float32 from the network does only roughly.
    """
    answer = make_answering(model, images.shape[1:])
    batches = (images[start : start + batch_size] for start in range(0, len(images), batch_size))
    probabilities = np.concatenate([answer(np.asarray(batch, np.float32)) for batch in batches]).astype(float)
    return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True))
