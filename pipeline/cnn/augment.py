"""Augmentation of training images with built-in Keras layers."""

import keras

from pipeline.params.training import AugmentationParams


def augmentation_layers(params: AugmentationParams, seed: int) -> list[keras.Layer]:
    """Create the augmentation layers that `params` enables. They are active during training only.

    The layers take standardized values of shape (batch, *grid, channels), and compute in float32. Positions that are
    moved in from beyond the edge repeat the values at the edge.

    Args:
        params: Transformations and their amounts.
        seed: Base seed, from which the seed of each layer is derived.
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
    if params.noise > 0:
        layers.append(keras.layers.GaussianNoise(params.noise, seed=seed + 5, dtype="float32", name="augment_noise"))
    return layers
