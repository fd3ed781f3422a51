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
                outputs = function(given)
            return np.asarray(tape.gradient(outputs, given, output_gradients=tf.constant(weigh(outputs.numpy()))))
        case "jax":
            jax = import_module("jax")
            outputs, back = jax.vjp(function, jax.numpy.asarray(inputs))
            return np.asarray(back(jax.numpy.asarray(weigh(np.asarray(outputs))))[0])
        case _:
            torch = import_module("torch")
            given = torch.tensor(inputs, requires_grad=True)
            outputs = function(given)
            outputs.backward(torch.tensor(weigh(outputs.detach().cpu().numpy()), device=outputs.device))
            return np.asarray(given.grad.cpu())
