"""Small datasets for benchmarks: generated shapes, X's and O's, digits, and the first images of Fashion-MNIST.

Each dataset is a valid value of `fovea init --data`: the name of a source, or a folder of PNG files. Run as a script,
this module draws the shapes into the given folder.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from peer_data import FOLDER
from PIL import Image, ImageDraw

from pipeline.arrays.idx import open_idx

CLASSES = ("circle", "square", "triangle")
_FASHION = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
FASHION_TEST = 2_000  # for every subset of Fashion-MNIST; enough for a precise test accuracy


@dataclass(frozen=True)
class SmallSet:
    """A dataset of the benchmark.

    Attributes:
        name: Name of the dataset in the table.
        make: Writes the dataset below a folder and returns the value for `--data`.
        settings: Keys of params.yaml that are set before `init` reads the data.
    """

    name: str
    make: Callable[[Path], str]
    settings: Mapping[str, float] = field(default_factory=dict)


def draw_shapes(folder: Path, per_class: int = 300, size: int = 64, seed: int = 0) -> str:
    """Draw filled circles, squares and triangles of random colour, position, size and rotation on a noisy background.

    Args:
        folder: Output folder. Each class is a subfolder.
        per_class: Number of images per class.
        size: Height and width of the images in pixels.
        seed: Seed of the random generator.

    Returns:
        The output folder, as the value for `--data`.
    """
    random = np.random.default_rng(seed)
    for kind in CLASSES:
        (folder / kind).mkdir(parents=True)
        for number in range(per_class):
            _shape(kind, size, random).save(folder / kind / f"{number:04}.png")
    return str(folder)


def _shape(kind: str, size: int, random: np.random.Generator) -> Image.Image:
    ground, colour = random.integers(0, 256, 3), random.integers(0, 256, 3)
    while np.abs(ground - colour).sum() < 120:  # the shape must be visible
        colour = random.integers(0, 256, 3)
    pixels = np.clip(ground + random.normal(0, 20, (size, size, 3)), 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels)
    pen = ImageDraw.Draw(image)
    radius = random.uniform(0.15, 0.35) * size
    x, y = random.uniform(radius, size - radius, 2)
    if kind == "circle":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=tuple(map(int, colour)))
    else:
        corners = 4 if kind == "square" else 3
        turns = random.uniform(0, 2 * np.pi) + np.arange(corners) * 2 * np.pi / corners
        points = [(x + radius * np.cos(turn), y + radius * np.sin(turn)) for turn in turns]
        pen.polygon(points, fill=tuple(map(int, colour)))
    return image


def fashion_folder(folder: Path, images: int, idx: Path = FOLDER) -> str:
    """Write the first training images of Fashion-MNIST as PNG files, with the first test images as the test split."""
    for split, stem, count in (("train", "train", images), ("test", "t10k", FASHION_TEST)):
        pixels, labels = _idx(idx, f"{stem}-images-idx3-ubyte", 3), _idx(idx, f"{stem}-labels-idx1-ubyte", 1)
        for number in range(count):
            place = folder / split / _FASHION[labels[number]]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[number]).save(place / f"{number:05}.png")
    return str(folder)


def _idx(folder: Path, name: str, dimensions: int) -> NDArray[np.uint8]:
    path = folder / f"{name}.gz"
    return open_idx(path if path.is_file() else folder / name, dimensions)[:]


def _xo(name: str, images: int, size: int, shift: float, shrink: float, rotate: float, deform: float) -> SmallSet:
    settings = {
        "images": images, "size": size, "shift": shift, "shrink": shrink, "rotate": rotate, "deform": deform,
    }  # fmt: skip
    return SmallSet(name, lambda _: "xo", {f"data.xo.{key}": value for key, value in settings.items()})


SETS = (
    SmallSet("digits", lambda _: "digits"),
    _xo("X/O, easy", 400, 16, 0.05, 0.1, 5.0, 0.02),
    _xo("X/O, as shipped", 1200, 24, 0.15, 0.4, 20.0, 0.06),
    _xo("X/O, hard", 400, 32, 0.3, 0.7, 90.0, 0.2),
    SmallSet("shapes in colour", draw_shapes),
    SmallSet("Fashion-MNIST, first 100", lambda folder: fashion_folder(folder, 100)),
    SmallSet("Fashion-MNIST, first 1,000", lambda folder: fashion_folder(folder, 1_000)),
    SmallSet("Fashion-MNIST, first 10,000", lambda folder: fashion_folder(folder, 10_000)),
)


if __name__ == "__main__":
    draw_shapes(Path(sys.argv[1]))
