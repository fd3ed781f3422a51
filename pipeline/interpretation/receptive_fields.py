"""Receptive fields of single positions of a layer's feature map."""

import numpy as np

from pipeline.cnn.geometry import Geometry


class Patches:
    """Receptive fields of the positions of an architecture's layers, without the padding.

    With padding `same`, the smaller half of the padding is before the map, as in TensorFlow. Attention gates are
    ignored.
    """

    def __init__(self, geometry: Geometry) -> None:
        self._entries = {entry.layer.name: entry for entry in geometry.layers}

    def of(self, layer: str, place: int) -> tuple[slice, ...]:
        """Smallest box of the image that contains the receptive field of a position.

        Args:
            layer: Name of a layer with a feature map.
            place: Index of the position, counted row by row.
        """
        position = np.unravel_index(place, self._entries[layer].output_shape[:-1])
        seen = self._seen(layer, tuple((int(at), int(at)) for at in position))
        return tuple(slice(first, last + 1) for first, last in seen)

    def _seen(self, layer: str, box: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        """Part of the image that a box of a layer's map depends on: first and last position along each axis."""
        entry = self._entries[layer]
        names = entry.layer.inputs[: None if entry.layer.kind == "add" else 1]
        if not names:
            return box
        if entry.layer.extent:
            source, same = self._entries[names[0]], entry.layer.padding == "same"
            axes = zip(
                box, entry.output_shape, source.output_shape, entry.layer.extent, entry.layer.strides, strict=False
            )
            box = tuple(
                _slid(first, last, size, extent, stride, max((out - 1) * stride + extent - size, 0) // 2 if same else 0)
                for (first, last), out, size, extent, stride in axes
            )
        boxes = [self._seen(name, box) for name in names]
        return tuple(
            (min(each[0] for each in axis), max(each[1] for each in axis)) for axis in zip(*boxes, strict=True)
        )


def _slid(first: int, last: int, size: int, extent: int, stride: int, before: int) -> tuple[int, int]:
    """First and last of `size` positions that a sliding window covers between two of its output positions."""
    return max(0, first * stride - before), min(size, last * stride - before + extent) - 1
