"""Gradients with respect to a network's input, for each Keras backend."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray


def pull_back(
    function: Callable[[Any], Any],
    inputs: NDArray[np.float32],
    weigh: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Gradient of the weighted sum of the outputs with respect to the inputs.

    Args:
        function: Function from tensors of the backend to tensors of the backend.
        inputs: Array of any shape.
        weigh: Function from the outputs to their weights, which are constant for the gradient.

    Returns:
        An array of the shape of the inputs.
    """
    match keras.backend.backend():
        case "tensorflow":
            tf = import_module("tensorflow")
            given = tf.constant(inputs)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(given)
                told = function(given)
            return np.asarray(tape.gradient(told, given, output_gradients=tf.constant(weigh(told.numpy()))))
        case "jax":
            jax = import_module("jax")
            told, back = jax.vjp(function, jax.numpy.asarray(inputs))
            return np.asarray(back(jax.numpy.asarray(weigh(np.asarray(told))))[0])
        case _:
            torch = import_module("torch")
            given = torch.tensor(inputs, requires_grad=True)
            told = function(given)
            told.backward(torch.tensor(weigh(told.detach().cpu().numpy()), device=told.device))
            return np.asarray(given.grad.cpu())
