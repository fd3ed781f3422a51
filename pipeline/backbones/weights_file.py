"""Read the weights of a backbone from a local file."""

import warnings
import zlib
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.backbones.backbone import Backbone
from pipeline.backbones.families import NETWORKS, save_command
from pipeline.backbones.keras_weights import count_stored_values
from pipeline.errors import UserError
from pipeline.params.model import MIN_INPUT_SIZE

Weights = dict[str, list[NDArray[np.float32]]]
_GRID = (MIN_INPUT_SIZE, MIN_INPUT_SIZE)  # weights do not depend on it
_ERRORS = (ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError)


def read_weights(backbone: Backbone) -> Weights:
    """Return the weights of each layer, by the layer's name, for an input of red, green and blue.

    The file may have the weights of a top for the 1,000 classes of ImageNet, which are skipped.

    Raises:
        UserError: The file is missing, has changed, is no file of weights, or has those of another network.
        ValueError: The backbone has no weights.
    """
    backbone.file()
    return _read(backbone.model_copy(update={"fine_tune": "all", "input_size": MIN_INPUT_SIZE}))


@lru_cache(maxsize=1)
def _read(backbone: Backbone) -> Weights:
    from pipeline.backbones.network import body

    network = _loaded(backbone)
    layers = [layer for layer in body(backbone.name, backbone.alpha, _GRID).layers if layer.weights]
    weights: Weights = {}
    for layer in layers:
        weights[layer.name] = [np.asarray(value, np.float32) for value in network.get_layer(layer.name).get_weights()]
    if NETWORKS[backbone.name][1].takes_blue_first:
        kernel, *others = weights[layers[0].name]
        weights[layers[0].name] = [kernel[:, :, ::-1], *others]
    _require_numbers(weights, backbone)
    return weights


def _loaded(backbone: Backbone) -> Any:
    """Build the original network, without or with its top, with the weights of the file."""
    from pipeline.backbones.network import original

    path, reason = backbone.file(), ""
    command = save_command(backbone.name, backbone.alpha, path)
    count_stored_values(
        path,
        f"model.backbone.weights: {path}: must contain the weights of {backbone.name}",
        f"save the weights with {command}",
    )
    for grid in (_GRID, None):
        network = original(backbone.name, backbone.alpha, grid)
        network.set_weights([np.full(weight.shape, np.nan, np.float32) for weight in network.weights])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # about a second path to each layer within the file
                network.load_weights(path)
            return network
        except (*_ERRORS, zlib.error) as error:
            reason = reason or _first_cause(error)
    raise UserError(
        f"model.backbone.weights: {path}: must contain the weights of {backbone.name} with alpha {backbone.alpha:g}, "
        f"but Keras cannot load them: {reason}; change model.backbone.name, or save them with {command}"
    ) from None


def _first_cause(error: Exception) -> str:
    """What Keras says about the first layer that it cannot load, without the values of the layer."""
    text = str(error).partition("Target variable")[0].partition("List of objects")[0]
    return " ".join(text.split()).rstrip(". ") or type(error).__name__


def _require_numbers(weights: Weights, backbone: Backbone) -> None:
    for name, values in weights.items():
        if not all(np.isfinite(value).all() for value in values):
            raise UserError(
                f"model.backbone.weights: {backbone.weights}: must contain a finite number for each weight, got none, "
                f"NaN or infinity in {name}; save the weights again"
            )
