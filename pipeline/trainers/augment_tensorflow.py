"""Augmentation of training images in TensorFlow: one resampling for shift, rotation, zoom and flip."""

import math
from typing import Any

import tensorflow as tf

from pipeline.params.training import AugmentationParams
from pipeline.trainers.random_tensorflow import Random

_AXES = {"none": (False, False), "horizontal": (False, True), "vertical": (True, False), "both": (True, True)}


def augment(images: Any, params: AugmentationParams, random: Random) -> Any:
    """Transform each image at random.

    Images are resampled once, bilinearly, about their center. Positions beyond the edge repeat the values at the edge.

    Args:
        images: (batch, height, width, channels) standardized values, float32; other grids support noise only.
        params: The transformations. Their amounts are final: `strength` is ignored.
        random: Random numbers of the step.
    """
    batch = images.shape[0]
    if params.shift or params.rotate or params.zoom:
        images = _resample(images, params, random.uniform([6, batch]))
    elif params.flip != "none":
        flips = random.uniform([2, batch]) < 0.5
        for axis, wanted in enumerate(_AXES[params.flip]):
            if wanted:
                images = tf.where(tf.reshape(flips[axis], [batch, 1, 1, 1]), tf.reverse(images, [axis + 1]), images)
    if params.noise:
        images += params.noise * _normal(images.shape, random)
    return images


def _resample(images: Any, params: AugmentationParams, drawn: Any) -> Any:
    """Resample images by one affine map per image, drawn from (6, batch) uniform numbers."""
    height, width = (float(extent) for extent in images.shape[1:3])
    signed = 2.0 * drawn - 1.0
    angle = math.radians(params.rotate) * signed[0]
    scale = 1.0 / (1.0 + params.zoom * signed[1])
    down, right = params.shift * height * signed[2], params.shift * width * signed[3]
    flip_y, flip_x = (
        tf.where(drawn[4 + axis] < 0.5, -1.0, 1.0) if wanted else tf.ones_like(angle)
        for axis, wanted in enumerate(_AXES[params.flip])
    )
    cosine, sine = tf.cos(angle) * scale, tf.sin(angle) * scale
    # Output position (x, y) takes the value at input position (a x + b y + c, d x + e y + f).
    a, b, d, e = flip_x * cosine, -flip_x * sine, flip_y * sine, flip_y * cosine
    x, y = (width - 1.0) / 2.0, (height - 1.0) / 2.0
    c, f = x - a * (x + right) - b * (y + down), y - d * (x + right) - e * (y + down)
    zero = tf.zeros_like(a)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([a, b, c, d, e, f, zero, zero], axis=1),
        output_shape=tf.constant(list(images.shape[1:3])),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )


def _normal(shape: Any, random: Random) -> Any:
    """Random numbers of the standard normal distribution. Source: Box and Muller (1958)."""
    drawn = random.uniform([2, *shape])
    return tf.sqrt(-2.0 * tf.math.log(1.0 - drawn[0])) * tf.cos(2.0 * math.pi * drawn[1])
