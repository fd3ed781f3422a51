"""The outputs of a network's inner layers."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.backend.epoch import make_prediction_epoch
from pipeline.evaluation.ood import NetworkOutputs

_CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv3D", "SeparableConv1D", "SeparableConv2D")


def convolutions(model: Any) -> tuple[str, ...]:
    """The names of the convolution layers of the network's body, from the input on."""
    return tuple(
        layer.name
        for layer in model.layers
        if type(layer).__name__ in _CONVOLUTIONS and not layer.name.startswith(("head_", "scores"))
    )


def last_map(model: Any) -> str:
    """The name of the layer that gives the body's last map of features, rectified where the body does so.

    Args:
        model: a network with a convolution.
    """
    rectified = [
        layer.name
        for layer in model.layers
        if type(layer).__name__ == "Activation" and len(layer.output.shape) > 2 and not layer.name.startswith("head_")
    ]
    return rectified[-1] if rectified else convolutions(model)[-1]


def rectified_map(model: Any, convolution: str) -> str:
    """The name of the layer that gives a convolution's map behind its activation; without one, the convolution."""
    name = convolution.replace("_conv", "_act")
    return name if name in {layer.name for layer in model.layers} else convolution


def part(model: Any, *names: str) -> Any:
    """The network up to some of its layers: from raw values to a list of these layers' outputs."""
    return keras.Model(model.input, [model.get_layer(name).output for name in names])


def last_layer(model: Any) -> Any:
    """From raw values to what the last layer with weights takes, and to the scores before softmax."""
    weighted = [layer for layer in model.layers if layer.weights]
    return keras.Model(model.inputs, [weighted[-1].input, model.layers[-1].input])


def outputs(model: Any, images: NDArray[Any], batch_size: int) -> Iterator[list[NDArray[np.float32]]]:
    """The outputs of a network with a list of them, batch by batch.

    Args:
        model: as `part` or `last_layer` gives it.
        images: (n, *grid, channels), raw values.
        batch_size: images per step.
    """
    answer = make_prediction_epoch(model, images.shape[1:])
    for start in range(0, len(images), batch_size):
        told = answer(np.asarray(images[start : start + batch_size], np.float32))
        yield told if isinstance(told, list) else [told]  # Keras gives a list of one output as the output


def network_outputs(model: Any, images: NDArray[Any], batch_size: int) -> Iterator[NetworkOutputs]:
    """What the network's last layers say about images, batch by batch.

    Args:
        model: the network.
        images: (n, *grid, channels), raw values.
        batch_size: images per step.
    """
    for features, logits in outputs(last_layer(model), images, batch_size):
        yield NetworkOutputs(features.reshape(len(features), -1), logits)
