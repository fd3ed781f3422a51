"""Draw the filters, feature maps, activations and saliency maps of a network."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.cnn.geometry import LayerGeometry
from pipeline.data.dataset import Kind
from pipeline.interpretation.feature_separation import FeatureSeparation
from pipeline.interpretation.top_activations import TopActivations
from pipeline.plots.axes import plain
from pipeline.plots.colours import BLUE
from pipeline.plots.mosaic import Mosaic

_COLUMNS, _MAPS, _FIELDS = 16, 8, 5  # filters, feature maps and receptive fields per row
_MAX_FILTERS = 64
_CONSTANT = 1e-6  # maps with a smaller standard deviation, relative to the largest activation, are constant


def draw_filters(kernel: NDArray[np.float32], layer: str, kind: Kind = "image") -> Figure:
    """Draw the kernels of the first convolution, each scaled to its own range of values.

    Args:
        kernel: (*extent, input channels, filters), or (*extent, input channels, 1) for a separable convolution.
        layer: Name of the layer.
        kind: Kind of the samples.
    """
    filters = np.moveaxis(kernel, -1, 0) if kernel.shape[-1] > 1 else np.moveaxis(kernel, -2, 0)[..., None, 0]
    shown = filters[:_MAX_FILTERS]
    heading = f"{len(shown)} of {len(filters)} filters of {layer}"
    mosaic = Mosaic(-(-len(shown) // _COLUMNS), min(_COLUMNS, len(shown)), 56, lines=0, heading=heading, kind=kind)
    for number, each in enumerate(shown):
        mosaic.image(*divmod(number, _COLUMNS), each, float(each.min()), float(each.max()))
    return mosaic.figure()


def draw_feature_maps(
    image: NDArray[Any],
    maps: Mapping[str, NDArray[np.float32]],
    bounds: tuple[float, float],
    title: str,
    kind: Kind = "image",
) -> Figure:
    """Draw an image, and below it a row per layer with the channels that vary most, each with its own colour scale.

    Args:
        image: (*grid, channels) raw values.
        maps: (*extent, channels) feature map of each layer, by layer name.
        bounds: Smallest and largest raw value.
        title: Title of the image.
        kind: Kind of the samples.
    """
    mosaic = Mosaic(1 + len(maps), _MAPS, 104, kind=kind)
    mosaic.image(0, 0, image, *bounds, title, "left")
    for row, (name, activations) in enumerate(maps.items(), start=1):
        flat = activations.reshape(-1, activations.shape[-1])
        varied = np.argsort(-flat.std(axis=0), kind="stable")[: min(_MAPS, int(varying(activations).sum()))]
        for column, channel in enumerate(varied):
            mosaic.heat(row, column, activations[..., channel], f"{channel}" if column else f"{name}: {channel}")
    return mosaic.figure()


def varying(maps: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(channels,) whether each channel of a feature map (*extent, channels) varies, rather than being constant."""
    flat = maps.reshape(-1, maps.shape[-1])
    return np.asarray(flat.std(axis=0) > _CONSTANT * max(1.0, float(np.abs(flat).max())))


def draw_deconvolutions(
    top_activations: TopActivations,
    projections: Sequence[Sequence[NDArray[Any]]],
    patches: Sequence[Sequence[NDArray[Any]]],
    bounds: tuple[float, float],
    kind: Kind = "image",
) -> Figure:
    """Draw a row per channel: projections of its strongest activations to pixels, then the patches that caused them.

    Args:
        top_activations: The k strongest activations of each of c channels.
        projections: c rows of k projections, cropped to the patches.
        patches: c rows of k patches, raw values.
        bounds: Smallest and largest raw value.
        kind: Kind of the samples.
    """
    channels, many = top_activations.images.shape
    heading = f"{top_activations.layer}: projections and the patches that caused them"
    mosaic = Mosaic(channels, 2 * many, 96, heading=heading, kind=kind)
    for row, channel in enumerate(top_activations.channels):
        for column in range(many):
            projected = np.asarray(projections[row][column], float)
            top = float(np.abs(projected).max())
            mosaic.image(row, column, projected, -top, top, "" if column else f"channel {channel}", "left")
            value = f"{top_activations.values[row, column]:.2g}"
            mosaic.image(row, many + column, patches[row][column], *bounds, value)
    return mosaic.figure()


def draw_saliency(
    images: NDArray[Any], titles: Sequence[str], cams: NDArray[np.float32], occlusions: NDArray[np.float32],
    bounds: tuple[float, float],
    kind: Kind = "image",
) -> Figure:  # fmt: skip
    """Draw each image next to its Grad-CAM map and its occlusion map. Those of a series are curves over the series.

    Args:
        images: (n, *grid, channels) raw values.
        titles: Titles of the images.
        cams: (n, *grid) maps from `grad_cam`.
        occlusions: (n, *grid) maps from `occlusion_map`.
        bounds: Smallest and largest raw value.
        kind: Kind of the samples.
    """
    mosaic = Mosaic(-(-len(images) // 2), 3 * min(2, len(images)), 148, kind=kind)
    for number, (image, title, cam, occlusion) in enumerate(zip(images, titles, cams, occlusions, strict=True)):
        row, column = number // 2, 3 * (number % 2)
        mosaic.image(row, column, image, *bounds, title)
        mosaic.heat(row, column + 1, cam, "Grad-CAM", under=image)
        mosaic.heat(row, column + 2, occlusion, "occlusion", symmetric=True, under=image)
    return mosaic.figure()


def draw_separation(separation: FeatureSeparation, labels: NDArray[np.int64], classes: Sequence[str]) -> Figure:
    """Draw the features of the last layer on a plane, and the mean silhouette of each class.

    Args:
        separation: Projections of the images, and silhouettes.
        labels: (n,) class indices of the images.
        classes: Names of the classes.
    """
    figure = Figure(figsize=(10, max(4.6, 0.2 * len(classes))), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    colours = colormaps["tab10" if len(classes) <= 10 else "tab20"]
    for label in np.unique(labels):
        left.scatter(*separation.places[labels == label].T, color=colours(label % colours.N), s=7, label=classes[label])
    if len(classes) <= 2 * _COLUMNS:
        columns = max(1, 120 // (max(map(len, classes)) + 5))
        figure.legend(loc="outside upper left", ncols=columns, fontsize=8, frameon=False, markerscale=2)
    left.set(xlabel="first principal component", ylabel="second", title="Features of the last layer")
    right.barh(range(len(classes)), separation.silhouettes, color=BLUE)
    right.set_yticks(range(len(classes)), classes, fontsize=8 if len(classes) <= _COLUMNS else 4)
    right.set_xticks((-1, -0.5, 0, 0.5, 1))
    right.set(xlim=(-1, 1), xlabel="mean silhouette", title="Separation of each class")
    right.invert_yaxis()
    plain(left)
    plain(right)
    return figure


def draw_receptive_fields(
    image: NDArray[Any], layers: Sequence[LayerGeometry], bounds: tuple[float, float], kind: Kind = "image"
) -> Figure:
    """Draw the receptive field of the middle position of each layer over a sample.

    That of a series is an interval, that of a volume is drawn over its middle slice.

    Args:
        image: (*grid, channels) raw values.
        layers: Convolutions and poolings.
        bounds: Smallest and largest raw value.
        kind: Kind of the sample.
    """
    grid = image.shape[:-1]
    mosaic = Mosaic(-(-len(layers) // _FIELDS), min(_FIELDS, len(layers)), 160, lines=2, kind=kind)
    for number, entry in enumerate(layers):
        row, column = divmod(number, _FIELDS)
        name, sees = entry.layer.name, "×".join(map(str, entry.receptive_field))
        mosaic.image(row, column, image, *bounds, f"{name}\n{sees}")
        extents = [min(sees, side) for sees, side in zip(entry.receptive_field, grid, strict=True)]
        if len(grid) == 1:
            (wide,), (side,) = extents, grid
            mosaic.frame(row, column, ((side - wide) / 2, 0), (wide, side), side)
            continue
        (height, width), (tall, wide) = grid[-2:], extents[-2:]
        if kind == "audio":  # time is drawn from left to right
            height, width, tall, wide = width, height, wide, tall
        mosaic.frame(row, column, ((width - wide) / 2, (height - tall) / 2), (wide, tall), max(height, width))
    return mosaic.figure()
