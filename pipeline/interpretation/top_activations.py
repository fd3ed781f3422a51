"""Find the images that activate a layer's channels most, and the positions in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.rows import Rows
from pipeline.interpretation.layer_outputs import outputs, part

_MAX_VALUES = 20_000_000  # values of all layers' maps in a batch, which bounds the memory


@dataclass(frozen=True)
class TopActivations:
    """The strongest activations of a layer's channels over many images.

    Attributes:
        layer: Name of the layer.
        extent: Spatial extent of the layer's map.
        channels: (c,) channels, from the strongest activation down; channels that no image activates are left out.
        images: (c, k) indices of the images, from the strongest activation down; each image counts once per channel.
        places: (c, k) positions in the map, counted row by row.
        values: (c, k) activations.
    """

    layer: str
    extent: tuple[int, ...]
    channels: NDArray[np.int64]
    images: NDArray[np.int64]
    places: NDArray[np.int64]
    values: NDArray[np.float32]


def top_activations(
    model: Any, layers: Sequence[str], images: Rows, most_channels: int, most_images: int, batch_size: int
) -> tuple[TopActivations, ...]:
    """For each layer, select the channels with the strongest activations, and the images that cause them.

    Args:
        model: The network.
        layers: Names of layers with feature maps.
        images: (n, *grid, channels) raw values.
        most_channels: Maximum number of channels per layer.
        most_images: Maximum number of images per channel.
        batch_size: Images per step.
    """
    tops: list[list[NDArray[np.float32]]] = [[] for _ in layers]
    places: list[list[NDArray[np.int64]]] = [[] for _ in layers]
    extents: list[tuple[int, ...]] = [() for _ in layers]
    inner = part(model, *layers)
    values = sum(int(np.prod(each.shape[1:])) for each in inner.outputs)
    for batch in outputs(inner, images, max(1, min(batch_size, _MAX_VALUES // values))):
        for number, activations in enumerate(batch):
            extents[number] = activations.shape[1:-1]
            flat = activations.reshape(len(activations), -1, activations.shape[-1])
            where = flat.argmax(axis=1)
            places[number].append(where)
            tops[number].append(np.take_along_axis(flat, where[:, None], axis=1)[:, 0])
    found = []
    for name, extent, top, where in zip(
        layers, extents, map(np.concatenate, tops), map(np.concatenate, places), strict=True
    ):
        excited = max(1, int((top.max(axis=0) > 0).sum()))
        channels = np.argsort(-top.max(axis=0), kind="stable")[: min(most_channels, excited)]
        chosen = np.argsort(-top[:, channels], axis=0, kind="stable")[:most_images].T
        found.append(
            TopActivations(
                name, extent, channels, chosen, where[chosen, channels[:, None]], top[chosen, channels[:, None]]
            )
        )
    return tuple(found)
