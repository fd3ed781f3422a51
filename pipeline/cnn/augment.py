"""Augmentation of training images with built-in Keras layers."""

from math import prod

import keras

from pipeline.data.dataset import Kind
from pipeline.params.training import AugmentationParams


def augmentation_layers(
    params: AugmentationParams, seed: int, shape: tuple[int, ...], kind: Kind = "image"
) -> list[keras.Layer]:
    """Create the augmentation layers that `params` enables. They are active during training only.

    Series and spectrograms are transformed in time, volumes in the plane of height and width.

    The layers take standardized values of shape (batch, *grid, channels), and compute in float32. Positions that are
    moved in from beyond the edge repeat the values at the edge.

    Args:
        params: Transformations and their amounts.
        seed: Base seed, from which the seed of each layer is derived.
        shape: Shape of a sample.
        kind: Kind of the samples.
    """
    layers: list[keras.Layer] = []
    if params.flip != "none":
        mode = {"both": "horizontal_and_vertical"}.get(params.flip, params.flip)
        layers.append(keras.layers.RandomFlip(mode, seed=seed + 1, dtype="float32", name="augment_flip"))
    if params.shift > 0:
        layers.append(
            keras.layers.RandomTranslation(
                params.shift, params.shift, "nearest", seed=seed + 2, dtype="float32", name="augment_shift"
            )
        )
    if params.rotate > 0:
        turns = params.rotate / 360
        layers.append(
            keras.layers.RandomRotation(turns, "nearest", seed=seed + 3, dtype="float32", name="augment_rotate")
        )
    if params.zoom > 0:
        layers.append(
            keras.layers.RandomZoom(
                params.zoom, fill_mode="nearest", seed=seed + 4, dtype="float32", name="augment_zoom"
            )
        )
    if layers:
        layers = _in_planes(layers, shape, kind)
    if params.noise > 0:
        layers.append(keras.layers.GaussianNoise(params.noise, seed=seed + 5, dtype="float32", name="augment_noise"))
    return layers


def _in_planes(layers: list[keras.Layer], shape: tuple[int, ...], kind: Kind) -> list[keras.Layer]:
    """Apply layers for images to samples of any kind, with the other axes among the channels."""
    *grid, channels = shape

    def reshape(name: str, *target: int) -> keras.Layer:
        return keras.layers.Reshape(target, dtype="float32", name=f"augment_{name}")

    def permute(name: str, *axes: int) -> keras.Layer:
        return keras.layers.Permute(axes, dtype="float32", name=f"augment_{name}")

    match kind:
        case "series" | "audio":
            return [
                reshape("as_planes", 1, grid[0], prod(grid[1:]) * channels), *layers, reshape("from_planes", *shape)
            ]  # fmt: skip
        case "volume":
            depth, height, width = grid
            return [
                permute("slices_last", 2, 3, 1, 4), reshape("as_planes", height, width, depth * channels), *layers,
                reshape("from_planes", height, width, depth, channels), permute("slices_first", 3, 1, 2, 4),
            ]  # fmt: skip
        case _:
            return layers
