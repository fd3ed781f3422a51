"""Small files of weights, made on the spot: random kernels whose outputs keep the scale of their inputs."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pipeline.backbones.backbone import Backbone
from pipeline.backbones.network import original
from pipeline.cnn.architecture import Architecture
from pipeline.params.model import BackboneName, BackboneParams, Head, ModelParams

SMALL = {"name": "mobilenet", "alpha": 0.25}  # with the fewest layers


def random_network(name: BackboneName, alpha: float = 1.0, seed: int = 1, top: bool = False) -> Any:
    """A network of keras.applications with random weights."""
    network = original(name, alpha, None if top else (32, 32))
    draw = np.random.default_rng(seed)
    for layer in network.layers:
        values = layer.get_weights()
        match type(layer).__name__:
            case "Conv2D" | "DepthwiseConv2D":
                fan_in = np.prod(values[0].shape[: 2 if values[0].shape[-1] == 1 else 3])
                values[0] = draw.normal(0.0, np.sqrt(2.0 / fan_in), values[0].shape)
            case "BatchNormalization":
                values = [draw.uniform(0.8, 1.2, value.shape) for value in values]
            case "Normalization":  # of the EfficientNets, as in the weights of ImageNet
                values = [np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]) ** 2, np.array(0)]
        layer.set_weights(values)
    return network


def save_random_weights(path: Path, name: BackboneName = "mobilenet", alpha: float = 0.25, seed: int = 1) -> Any:
    """Write a file of random weights, and return the network that has them."""
    network = random_network(name, alpha, seed)
    network.save_weights(path)
    return network


def save_legacy(network: Any, path: Path) -> None:
    """Write a file in the older format, which keras.applications itself still downloads."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in network.layers]
        for layer in network.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, value in zip(names, layer.get_weights(), strict=True):
                group[name] = value


def backbone(**changes: Any) -> Backbone:
    """The backbone of `model.backbone` with these keys."""
    return Backbone.from_params(BackboneParams.model_validate(SMALL | changes))


def architecture(input_shape: tuple[int, ...] = (12, 12, 1), classes: int = 2, **changes: Any) -> Architecture:
    """The baseline of `model.backbone` with these keys."""
    model = ModelParams(blocks=(), head=Head(), backbone=BackboneParams.model_validate(SMALL | changes))
    return Architecture.from_model(model, input_shape, classes)
