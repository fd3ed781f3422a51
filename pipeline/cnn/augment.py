"""Augmentation of training images with built-in Keras layers."""

import keras

from pipeline.errors import UserError
from pipeline.params.training import AugmentationParams


def augmentation_layers(params: AugmentationParams, rank: int, seed: int) -> list[keras.Layer]:
    """Create the augmentation layers that `params` enables. They are active during training only.

    The layers take standardized values of shape (batch, *grid, channels), and compute in float32. Positions that are
    moved in from beyond the edge repeat the values at the edge.

    Args:
        params: Transformations and their amounts.
        rank: Number of spatial axes. Images have 2; other grids support noise only.
        seed: Base seed, from which the seed of each layer is derived.

    Raises:
        UserError: A transformation other than noise is enabled for a grid that is not an image.
    """
    asked = {
        "flip": params.flip != "none",
        "shift": params.shift > 0,
        "rotate": params.rotate > 0,
        "zoom": params.zoom > 0,
    }
    geometric = [f"training.augmentation.{key}" for key, wanted in asked.items() if wanted]
    if rank != 2 and geometric:
        raise UserError(
            f"{', '.join(geometric)}: requires images (2-D grids), got a {rank}-D grid; set flip: none and the other "
            "keys to 0.0 (noise is available for every grid)"
        )
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
