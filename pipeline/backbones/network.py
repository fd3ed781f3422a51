"""Build a backbone in Keras: the layers of a network of keras.applications, on an input of one's own."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import keras

from pipeline.backbones.backbone import Backbone
from pipeline.backbones.families import NETWORKS, constructor_arguments
from pipeline.params.model import BackboneName, FineTune

# Share of the moving averages of a batch normalization that a step keeps, where training starts from random values.
# Those of keras.applications are meant for hundreds of thousands of steps.
AVERAGE_MOMENTUM = 0.9
_SLIDING = ("Conv2D", "DepthwiseConv2D", "MaxPooling2D")


def original(name: BackboneName, alpha: float, grid: tuple[int, int] | None = None) -> Any:
    """Build a network of keras.applications with random weights. Nothing is downloaded.

    Args:
        name: Name of the network.
        alpha: Factor for the number of filters of a mobilenet.
        grid: Height and width of the input, at least 32; None: the network has its top, for the 1,000 classes of
            ImageNet, and its usual input.
    """
    shape: dict[str, Any] = {"include_top": True} if grid is None else {"include_top": False, "input_shape": (*grid, 3)}
    constructor = getattr(keras.applications, NETWORKS[name][0])
    return constructor(weights=None, **shape, **constructor_arguments(name, alpha))


@lru_cache(maxsize=2)
def body(name: BackboneName, alpha: float, grid: tuple[int, int]) -> Any:
    """Build the original network without its top and without a preprocessing that its constructor always adds.

    Args:
        name: Name of the network.
        alpha: Factor for the number of filters of a mobilenet.
        grid: Height and width of the input, at least 32.
    """
    network = original(name, alpha, grid)
    start = NETWORKS[name][1].start
    if not start:
        return network
    rest = keras.Model(network.get_layer(start).input, network.output)
    x = keras.Input((*grid, 3))
    return keras.Model(x, _apply(rest, x, lambda operation: type(operation).from_config(operation.get_config())))


def receptive_fields(network: Any) -> list[tuple[int, int]]:
    """Receptive field and jump, along each axis, of the output of each of `network.operations`.

    All windows and strides are square. Attention gates are ignored.
    """
    seen: dict[int, tuple[int, int]] = {}  # by tensor
    for operation in network.operations:
        if isinstance(operation, keras.layers.InputLayer):
            found = (1, 1)
        else:
            given = operation.input if isinstance(operation.input, list) else [operation.input]
            before = [seen[id(tensor)] for tensor in given]
            # The second factor of a product is an attention gate.
            found = max(before) if type(operation).__name__ == "Add" else before[0]
            if type(operation).__name__ in _SLIDING:
                window = operation.pool_size if hasattr(operation, "pool_size") else operation.kernel_size
                found = found[0] + (window[0] - 1) * found[1], found[1] * operation.strides[0]
        seen[id(operation.output)] = found
    return list(seen.values())


def first_trained(network: Any, fine_tune: FineTune) -> int:
    """Index of the first of `network.operations` that training changes.

    With `last`, that is the first one with the resolution of the output.
    """
    match fine_tune:
        case "none":
            return len(network.operations)
        case "last":
            *_, (_, most) = fields = receptive_fields(network)
            return 1 + max(number for number, (_, jump) in enumerate(fields) if jump < most)
        case "all":
            return 0


def append_pixels(x: Any, scale: list[float], offset: list[float], name: str) -> Any:
    """Convert standardized values to the values that a backbone expects, in three channels.

    Args:
        x: (batch, height, width, 1 or 3) standardized values.
        scale: Factor of red, green and blue.
        offset: Summand of red, green and blue.
        name: Name of the last layer.
    """
    if x.shape[-1] == 1:
        x = keras.layers.Concatenate(dtype="float32", name=f"{name}_repeat")([x, x, x])
    return keras.layers.Rescaling(scale, offset, dtype="float32", name=name)(x)


def append_backbone(x: Any, backbone: Backbone, seeds: Iterator[int]) -> Any:
    """Add copies of a backbone's layers to a functional network, with new weights, and return the last feature map.

    The layers are part of the network, not of a network within it. Layers that Keras numbers, whose names would depend
    on what the process built before, get new numbers. Layers before those that training changes have no dropout.

    Args:
        x: (batch, height, width, 3) the input that the family expects.
        backbone: The backbone.
        seeds: Seeds of the dropouts.
    """
    network = body(backbone.name, backbone.alpha, (x.shape[1], x.shape[2]))
    operations = list(network.operations)
    first = first_trained(network, backbone.fine_tune)
    numbers: Counter[str] = Counter()

    def copy(operation: Any) -> Any:
        config = operation.get_config()
        config.pop("dtype", None)  # that of the new layers
        kind, plain = type(operation).__name__, re.sub(r"_\d+$", "", operation.name)
        if plain.replace("_", "") == kind.lower():  # a name that Keras chose
            numbers[kind] += 1
            config["name"] = f"backbone_{plain}_{numbers[kind]}"
        if kind == "Dropout":
            config["seed"] = next(seeds)
            if operations.index(operation) < first:
                config["rate"] = 0.0
        elif kind == "BatchNormalization" and backbone.weights is None:
            config["momentum"] = AVERAGE_MOMENTUM
        return type(operation).from_config(config)

    return _apply(network, x, copy)


def _apply(network: Any, x: Any, copy: Callable[[Any], Any]) -> Any:
    """Apply copies of the operations of a functional network to a tensor, as keras.models.clone_model does."""
    outputs = network._run_through_graph(x, operation_fn=copy)
    return outputs[0] if isinstance(outputs, list) else outputs
