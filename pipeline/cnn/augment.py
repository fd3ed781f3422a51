"""Random changes of training images, as stock Keras layers."""

import keras

from pipeline.errors import UserError
from pipeline.params.sections import AugmentationParams


def augmentation_layers(params: AugmentationParams, rank: int, seed: int) -> list[keras.Layer]:
    """The layers that make the asked-for changes, and no others; they act in training only.

    They take standardised values of shape (batch, *grid, channels), and compute in float32. What a change moves in
    from beyond the edge repeats the edge's values.

    Args:
        params: which changes, and how large.
        rank: number of spatial axes; images have 2, and other grids only know noise.
        seed: each layer draws from a seed of its own that follows from it.

    Raises:
        UserError: a change other than noise is asked for a grid that is no image.
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
            f"{', '.join(geometric)}: only images (2-D grids) can be flipped, shifted, rotated or zoomed, got a "
            f"{rank}-D grid; set flip: none and the others to 0.0, noise works for every grid"
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
