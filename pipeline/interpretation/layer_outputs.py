"""Outputs of a network's inner layers."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.backend.predictor import batch_that_fits, make_batch_predictor
from pipeline.data.rows import Rows
from pipeline.interpretation.network_outputs import NetworkOutputs

_ACTIVATIONS = ("Activation", "ReLU")  # some backbones have the layer ReLU
_CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv3D", "SeparableConv1D", "SeparableConv2D")


def convolutions(model: Any) -> tuple[str, ...]:
    """Names of the convolution layers in the body of a network, in order from the input."""
    return tuple(
        layer.name
        for layer in model.layers
        if type(layer).__name__ in _CONVOLUTIONS and not layer.name.startswith(("head_", "scores"))
    )


def last_map(model: Any) -> str:
    """Name of the layer that returns the last feature map of the body, after its activation if there is one.

    Args:
        model: A network with a convolution.
    """
    rectified = [
        layer.name
        for layer in model.layers
        if type(layer).__name__ in _ACTIVATIONS and len(layer.output.shape) > 2 and not layer.name.startswith("head_")
    ]
    return rectified[-1] if rectified else convolutions(model)[-1]


def rectified_map(model: Any, convolution: str) -> str:
    """Name of the layer that returns the feature map of a convolution after its activation, or else the convolution."""
    name = convolution.replace("_conv", "_act")
    return name if name in {layer.name for layer in model.layers} else convolution


def part(model: Any, *names: str) -> Any:
    """Model from raw values to the list of outputs of the named layers."""
    return keras.Model(model.input, [model.get_layer(name).output for name in names])


def last_layer(model: Any) -> Any:
    """Model from raw values to the input of the last layer with weights, and to the scores before softmax."""
    weighted = [layer for layer in model.layers if layer.weights]
    return keras.Model(model.inputs, [weighted[-1].input, model.layers[-1].input])


def outputs(model: Any, images: Rows, batch_size: int) -> Iterator[list[NDArray[np.float32]]]:
    """Yield the outputs of a model with several outputs, batch by batch.

    Args:
        model: Model from `part` or `last_layer`.
        images: (n, *grid, channels) raw values.
        batch_size: Images per step; fewer if they are large.
    """
    predict, batch_size = make_batch_predictor(model), batch_that_fits(model, batch_size)
    for start in range(0, len(images), batch_size):
        results = predict(np.asarray(images[start : start + batch_size], np.float32))
        yield results if isinstance(results, list) else [results]  # Keras returns a single output without its list


def network_outputs(model: Any, images: Rows, batch_size: int) -> Iterator[NetworkOutputs]:
    """Yield the outputs of a network's last layers, batch by batch.

    Args:
        model: The network.
        images: (n, *grid, channels) raw values.
        batch_size: Images per step.
    """
    for features, logits in outputs(last_layer(model), images, batch_size):
        yield NetworkOutputs(features.reshape(len(features), -1), logits)
