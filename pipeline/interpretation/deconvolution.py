"""Project an activation back to the pixels that caused it.

After Zeiler and Fergus (2014), "Visualizing and Understanding Convolutional Networks", section 2.1: max pooling is
undone at the positions of its maxima, convolutions are undone by their transposed filters, and the signal is rectified
at each activation. Except for the rectification, this is the gradient. The projection is therefore a gradient through a
copy of the network whose activations rectify the gradient. In the copy an attention gate is a constant, and a
normalization is a scale, as in prediction.
"""

from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from pipeline.backend.predictor import batch_that_fits
from pipeline.interpretation.gradients import pull_back

_BATCH = 64  # images that are projected at a time


class _Rectifying(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """An activation whose gradient is the rectified upstream gradient."""

    def __init__(self, activation: Any, **given: Any) -> None:
        super().__init__(**given)
        self._forward = rectifying(activation)

    def call(self, inputs: Any) -> Any:
        return self._forward(inputs)


class _Gate(keras.layers.Layer):  # type: ignore[misc]
    """A product whose second factor is constant for the gradient."""

    def call(self, inputs: Any) -> Any:
        return inputs[0] * ops.reshape(
            ops.stop_gradient(inputs[1]), (-1, *(1,) * (len(inputs[0].shape) - 2), inputs[0].shape[-1])
        )


def rectifying(activation: Any) -> Any:
    """Return the function of an activation, with the gradient of a deconvolution network."""

    @ops.custom_gradient  # type: ignore[untyped-decorator]
    def forward(x: Any) -> Any:
        def back(*given: Any, upstream: Any = None) -> Any:
            return ops.relu(given[0] if upstream is None else upstream)

        return activation(x), back

    return forward


def deconvolution_network(model: Any) -> Any:
    """Copy a network with its weights, so that gradients through the copy are deconvolutions."""

    def copy(layer: Any) -> Any:
        if isinstance(layer, keras.layers.Activation):
            return _Rectifying(layer.activation, name=layer.name)
        if isinstance(layer, keras.layers.Multiply):
            return _Gate(name=layer.name)
        return type(layer).from_config(layer.get_config())

    made = keras.models.clone_model(model, clone_function=copy)
    made.set_weights(model.get_weights())
    return made


def project(
    network: Any, layer: str, images: NDArray[Any], places: NDArray[np.int64], channels: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Project one activation of each image back to pixels.

    Args:
        network: Network from `deconvolution_network`.
        layer: Name of the layer whose activations are projected.
        images: (n, *grid, channels) raw values.
        places: (n,) index of the activation's position in the layer's map, counted row by row.
        channels: (n,) index of the activation's channel.

    Returns:
        (n, *grid, channels) in units of the activation per raw value.
    """
    upto = keras.Model(network.input, network.get_layer(layer).output)

    def chosen(
        activations: NDArray[np.float32], places: NDArray[np.int64], channels: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        flat = activations.reshape(len(activations), -1, activations.shape[-1])
        only = np.zeros_like(flat)
        rows = np.arange(len(flat))
        only[rows, places, channels] = flat[rows, places, channels]
        return only.reshape(activations.shape)

    size, parts = batch_that_fits(network, _BATCH), []
    for start in range(0, len(images), size):
        part = slice(start, start + size)
        weigh = partial(chosen, places=places[part], channels=channels[part])
        given = np.asarray(images[part], np.float32)
        parts.append(pull_back(lambda x: upto(x, training=False), given, weigh))
    return np.concatenate(parts)
