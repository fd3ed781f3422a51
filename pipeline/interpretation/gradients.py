"""Gradients with respect to a network's input, by the means of Keras's backend."""

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
    """The gradient of the sum of the outputs times weights, with respect to the inputs.

    Args:
        function: from the backend's tensors to its tensors.
        inputs: of any shape.
        weigh: from the outputs to a weight for each of them, which is a constant to the gradient.

    Returns:
        An array of the inputs' shape.
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
