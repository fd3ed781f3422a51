"""Generate X's and O's: white strokes on black, randomly shifted, shrunk, rotated and deformed."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipeline.sections import XoParams

_OVERSAMPLING = 4
_STROKE = 0.1  # of the size
_EXTENT = 0.72  # of the size, before shrinking
_POINTS = 24  # points of the O


def draw_xo(params: XoParams, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw images (n, size, size, 1) uint8 with labels (n,), alternating between 0 for X and 1 for O."""
    random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(7,)))
    labels = np.arange(params.images, dtype=np.int64) % 2
    images = np.stack([_draw(params, bool(label), random) for label in labels])
    return images[..., np.newaxis], labels


def _draw(params: XoParams, is_o: bool, random: np.random.Generator) -> NDArray[np.uint8]:
    """Draw one figure.

    Each figure uses the same number of random values, so that a setting does not change the values of other images.
    """
    angle = np.deg2rad(random.uniform(-params.rotate, params.rotate))
    scale = _EXTENT / 2 * (1 - random.uniform(0, params.shrink))
    shift = random.uniform(-params.shift, params.shift, 2)
    if is_o:
        turns = np.linspace(0, 2 * np.pi, _POINTS, endpoint=False)
        strokes = [np.stack([np.cos(turns), np.sin(turns)], axis=1)]
        # Smooth displacement along the ring: random low harmonics.
        waves = random.normal(0, 1, (3, 2, 2))
        bend = sum(
            waves[k, 0] * np.cos((k + 2) * turns)[:, None] + waves[k, 1] * np.sin((k + 2) * turns)[:, None]
            for k in range(3)
        )
        bends = [bend / 3]
    else:
        along = np.linspace(-1, 1, 9)
        strokes = [np.stack([along, along], axis=1), np.stack([along, -along], axis=1)]
        ends, curve = random.normal(0, 1, (2, 2, 2)), random.normal(0, 1, (2, 2))
        bends = [
            (ends[k, 0] * (1 - along)[:, None] + ends[k, 1] * (1 + along)[:, None]) / 2
            + curve[k] * (1 - along**2)[:, None]
            for k in range(2)
        ]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    size = params.size * _OVERSAMPLING
    canvas = Image.new("L", (size, size), 0)
    pen = ImageDraw.Draw(canvas)
    width = max(1, round(_STROKE * size))
    for stroke, bend in zip(strokes, bends, strict=True):
        points = (0.5 + stroke @ turn.T * scale + np.clip(bend, -1, 1) * params.deform + shift) * size
        closed = [tuple(point) for point in (*points, points[0], points[1])] if is_o else [tuple(p) for p in points]
        pen.line(closed, fill=255, width=width, joint="curve")
        for x, y in closed if not is_o else ():
            pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=255)
    return np.asarray(canvas.resize((params.size, params.size), Image.Resampling.BOX), dtype=np.uint8)
