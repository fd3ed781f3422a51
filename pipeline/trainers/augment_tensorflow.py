"""Augmentation of training samples in TensorFlow: one resampling for shift, rotation, zoom and flip."""

import math
from math import prod
from typing import Any

import tensorflow as tf

from pipeline.data.dataset import Kind
from pipeline.params.training import AugmentationParams
from pipeline.trainers.random_tensorflow import Random

_AXES = {"none": (False, False), "horizontal": (False, True), "vertical": (True, False), "both": (True, True)}


def augment(samples: Any, params: AugmentationParams, random: Random, kind: Kind = "image") -> Any:
    """Transform each sample at random.

    Samples are resampled once, bilinearly, about their center. Positions beyond the edge repeat the values at the edge.
    Series and spectrograms are transformed in time, volumes in the plane of height and width.

    Args:
        samples: (batch, *grid, channels) standardized values, float32.
        params: The transformations. Their amounts are final: `strength` is ignored.
        random: Random numbers of the step.
        kind: Kind of the samples.
    """
    moves = params.shift or params.rotate or params.zoom
    if moves or params.flip != "none":
        batch, planes = samples.shape[0], _as_planes(samples, kind)
        if moves:
            planes = _resample(planes, params, random.uniform([6, batch]))
        else:
            planes = _flip(planes, params, random.uniform([2, batch]))
        samples = _from_planes(planes, samples.shape, kind)
    if params.noise:
        samples += params.noise * _normal(samples.shape, random)
    return samples


def _as_planes(samples: Any, kind: Kind) -> Any:
    """Arrange samples as images (batch, height, width, channels), in which the same is done to all channels."""
    batch, *grid, channels = samples.shape
    match kind:
        case "series" | "audio":
            return tf.reshape(samples, [batch, 1, grid[0], prod(grid[1:]) * channels])
        case "volume":
            depth, height, width = grid
            return tf.reshape(tf.transpose(samples, [0, 2, 3, 1, 4]), [batch, height, width, depth * channels])
        case _:
            return samples


def _from_planes(planes: Any, shape: Any, kind: Kind) -> Any:
    """Undo `_as_planes`; `shape` is that of the samples."""
    if kind == "volume":
        batch, depth, height, width, channels = shape
        return tf.transpose(tf.reshape(planes, [batch, height, width, depth, channels]), [0, 3, 1, 2, 4])
    return planes if kind == "image" else tf.reshape(planes, shape)


def _flip(images: Any, params: AugmentationParams, drawn: Any) -> Any:
    """Flip images along the enabled axes, by (2, batch) uniform numbers."""
    for axis, wanted in enumerate(_AXES[params.flip]):
        if wanted:
            chosen = tf.reshape(drawn[axis] < 0.5, [images.shape[0], 1, 1, 1])
            images = tf.where(chosen, tf.reverse(images, [axis + 1]), images)
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
