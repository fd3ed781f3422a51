"""Saliency maps: which parts of an image determine a prediction."""

from collections.abc import Callable
from itertools import product
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.backend.predictor import batch_that_fits
from pipeline.interpretation.gradients import pull_back

_BATCH = 64  # images of which gradients are computed at a time
_MAX_VALUES = 20_000_000  # of the covered copies that are predicted at a time, which bounds the memory


def grad_cam(model: Any, layer: str) -> Callable[[NDArray[Any], NDArray[np.int64]], NDArray[np.float32]]:
    """Compute Grad-CAM maps of a layer.

    After Selvaraju and others (2017), "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
    Localization", equations 1 and 2.

    Args:
        model: The network.
        layer: Name of a layer with a feature map, usually that of the last convolution.

    Returns:
        A function from images (n, *grid, channels), raw values, and the classes (n,) whose scores are explained, to
        maps (n, *grid) from 0 to 1; all 0 if nothing supports the class.
    """
    inner = keras.Model(model.input, model.get_layer(layer).output)
    tapped, tap = _tapped(model, layer)
    size = batch_that_fits(model, _BATCH)

    def maps(images: NDArray[Any], classes: NDArray[np.int64]) -> NDArray[np.float32]:
        parts = (slice(start, start + size) for start in range(0, len(images), size))
        return np.concatenate([part_of_maps(images[part], classes[part]) for part in parts])

    def part_of_maps(images: NDArray[Any], classes: NDArray[np.int64]) -> NDArray[np.float32]:
        given = np.asarray(images, np.float32)
        activations = np.asarray(inner.predict_on_batch(given))
        one_hot = np.eye(model.output_shape[-1], dtype=np.float32)[classes]

        def scores(change: Any) -> Any:
            tap.change = change
            return tapped(given, training=False)

        gradient = pull_back(scores, np.zeros_like(activations), lambda _: one_hot)
        weights = gradient.mean(axis=tuple(range(1, gradient.ndim - 1)), keepdims=True)
        positive = np.maximum((weights * activations).sum(axis=-1), 0.0)
        return np.stack([_unit(_enlarge(each, images.shape[1:-1])) for each in positive])

    return maps


class _Tap(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """A layer whose output can be changed from outside."""

    def __init__(self, layer: Any) -> None:
        super().__init__(name=layer.name)
        self.layer = layer
        self.change: Any = 0.0

    def call(self, inputs: Any) -> Any:
        return self.layer(inputs) + self.change


def _tapped(model: Any, layer: str) -> tuple[Any, _Tap]:
    """Copy a network, from raw values to scores, with a tap at one of its layers.

    The scores may also depend on earlier layers by another path, such as a residual connection.
    """
    taps = []

    def copy(original: Any) -> Any:
        made = type(original).from_config(original.get_config())
        if original.name != layer:
            return made
        taps.append(_Tap(made))
        return taps[0]

    scores = keras.Model(model.input, model.layers[-1].input)
    tapped = keras.models.clone_model(scores, clone_function=copy)
    tapped.set_weights(scores.get_weights())
    return tapped, taps[0]


def occlusion_map(
    predict: Callable[[NDArray[Any]], NDArray[np.float64]],
    images: NDArray[Any],
    classes: NDArray[np.int64],
    share: float,
) -> NDArray[np.float32]:
    """Compute how much of a class's probability is lost when parts of the image are covered.

    After Zeiler and Fergus (2014), "Visualizing and Understanding Convolutional Networks", section 4.2.

    Args:
        predict: Function from images to the probability of each class.
        images: (n, *grid, channels) raw values.
        classes: (n,) class whose probability is measured.
        share: Side of the covering box, as a share of the image's side. The box has the mean value of the image.

    Returns:
        (n, *grid) mean loss of probability over the boxes that cover a position.
    """
    grid = images.shape[1:-1]
    sides = [max(1, round(share * side)) for side in grid]
    along = [_starts(side, box) for side, box in zip(grid, sides, strict=True)]
    boxes = [
        tuple(slice(first, first + box) for first, box in zip(corner, sides, strict=True)) for corner in product(*along)
    ]
    maps = []
    for image, label in zip(np.asarray(images, np.float32), classes, strict=True):
        mean = image.mean(axis=tuple(range(len(grid))))
        probabilities: list[float] = []
        size = max(1, _MAX_VALUES // image.size)
        for start in range(0, len(boxes) + 1, size):
            chosen = [(), *boxes][start : start + size]
            covered = np.repeat(image[None], len(chosen), axis=0)
            for copy, box in zip(covered, chosen, strict=True):
                if box:
                    copy[box] = mean
            probabilities.extend(predict(covered)[:, label])
        whole, *rest = probabilities
        lost, count = np.zeros(grid), np.zeros(grid)
        for box, probability in zip(boxes, rest, strict=True):
            lost[box] += whole - probability
            count[box] += 1
        maps.append(lost / count)
    return np.asarray(maps, np.float32)


def _starts(side: int, box: int) -> list[int]:
    """Start positions of boxes that cover a side, each overlapping half of the previous one."""
    return sorted({*range(0, side - box + 1, max(1, box // 2)), side - box})


def _enlarge(values: NDArray[Any], extent: tuple[int, ...]) -> NDArray[np.float32]:
    """Resize a map with linear interpolation."""
    factors = [new / old for new, old in zip(extent, values.shape, strict=True)]
    return np.asarray(ndimage.zoom(values, factors, order=1, mode="nearest", grid_mode=True), np.float32)


def _unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    top = float(values.max())
    return values / top if top > 0 else values
