"""Shapes, weights and cost of a backbone, read off the network that Keras builds."""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, prod
from typing import Any

from pipeline.backbones.backbone import Backbone


@dataclass(frozen=True)
class BackboneWeight:
    """One weight of a backbone.

    Attributes:
        layer: Name of the layer.
        name: Name of the weight, as in Keras.
        shape: Shape of the weight, as in Keras.
        trainable: Whether training changes it.
    """

    layer: str
    name: str
    shape: tuple[int, ...]
    trainable: bool


@dataclass(frozen=True)
class BackboneMeasure:
    """Shapes, weights and cost of a backbone for one image.

    Attributes:
        output_shape: Height, width and channels of the last feature map.
        weights: All weights, in the order of the layers.
        macs: Multiply-accumulates; only convolutions are counted.
        values: Number of values in the outputs of all layers.
        receptive_field: Receptive field of the last feature map along each axis, in positions of the backbone's input.
        jump: Distance between neighbouring outputs along each axis, in positions of the backbone's input.
    """

    output_shape: tuple[int, int, int]
    weights: tuple[BackboneWeight, ...]
    macs: int
    values: int
    receptive_field: int
    jump: int

    @property
    def params(self) -> int:
        """Number of parameters, including the moving averages of batch normalization."""
        return sum(prod(weight.shape) for weight in self.weights)

    @property
    def trainable_params(self) -> int:
        """Number of parameters that training changes."""
        return sum(prod(weight.shape) for weight in self.weights if weight.trainable)


def enlarged(grid: tuple[int, ...], size: int) -> tuple[int, ...]:
    """Extents of an image after it is enlarged until its shorter side has at least `size` positions."""
    factor = max(1.0, size / min(grid))
    return tuple(max(size, ceil(extent * factor - 1e-9)) if factor > 1 else extent for extent in grid)


@lru_cache(maxsize=8)
def measure_backbone(backbone: Backbone, grid: tuple[int, ...]) -> BackboneMeasure:
    """Measure a backbone. This imports Keras and builds the network, which takes seconds.

    Batch normalization keeps the statistics, scales and shifts of a file of weights, even where other layers are
    trained: those of a few small batches would be worse. Source: the guide "Transfer learning & fine-tuning" of Keras.

    Args:
        backbone: The backbone.
        grid: Height and width of its input, at least 32.
    """
    from pipeline.backbones.network import body, first_trained, receptive_fields

    network = body(backbone.name, backbone.alpha, (grid[0], grid[1]))
    first = first_trained(network, backbone.fine_tune)
    weights: list[BackboneWeight] = []
    for number, operation in enumerate(network.operations):
        trained = number >= first and (type(operation).__name__ != "BatchNormalization" or backbone.weights is None)
        weights += [
            BackboneWeight(operation.name, variable.name, tuple(variable.shape), trained and variable.trainable)
            for variable in getattr(operation, "weights", ())
        ]
    _, *shape = network.output.shape
    *_, (field, jump) = receptive_fields(network)
    return BackboneMeasure(
        output_shape=(shape[0], shape[1], shape[2]),
        weights=tuple(weights),
        macs=sum(_macs(operation) for operation in network.operations),
        values=sum(prod(operation.output.shape[1:]) for operation in network.operations[1:]),
        receptive_field=field,
        jump=jump,
    )


def _macs(operation: Any) -> int:
    """Multiply-accumulates of a convolution: each weight is used once for each position of the output."""
    if type(operation).__name__ not in ("Conv2D", "DepthwiseConv2D"):
        return 0
    return int(prod(operation.output.shape[1:3]) * prod(operation.kernel.shape))
