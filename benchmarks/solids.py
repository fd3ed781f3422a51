"""Solids in noise, as volumes of different shapes: balls, boxes, rings and rods, in any position and direction.

Run as a script, this module writes .npy files into the given folder.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SOLIDS = ("ball", "box", "ring", "rod")
COUNTS = {"train": 150, "val": 50, "test": 75}  # volumes of each class
_SIDES = (20, 28)  # voxels
_LEVELS = (60, 120)  # of the solid above the background
_NOISE = 15.0


def write_solids(
    folder: Path, counts: Mapping[str, int] = COUNTS, solids: Sequence[str] = SOLIDS, seed: int = 0
) -> str:
    """Write FOLDER/SPLIT/SOLID/NUMBER.npy, each with a volume of 20 to 28 voxels along each axis, as unsigned bytes.

    Args:
        folder: Output folder.
        counts: Number of volumes of each class, by split.
        solids: The classes.
        seed: Seed of the random numbers.

    Returns:
        The value of `data.source`.
    """
    random = np.random.default_rng(seed)
    for split, count in counts.items():
        for solid in solids:
            (folder / split / solid).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                np.save(folder / split / solid / f"{number}.npy", draw_solid(solid, random))
    return f"volumes:{folder}"


def draw_solid(solid: str, random: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a solid of random size, position and direction, with noise.

    Args:
        solid: One of SOLIDS.
        random: Random numbers.

    Returns:
        (depth, height, width) values.
    """
    shape = random.integers(*_SIDES, 3, endpoint=True)
    center = shape / 2 + random.uniform(-3, 3, 3)
    places = np.stack(np.meshgrid(*(np.arange(extent) for extent in shape), indexing="ij"), axis=-1) - center
    turned, _ = np.linalg.qr(random.normal(size=(3, 3)))
    x, y, z = np.abs(np.moveaxis(places @ turned, -1, 0))
    size = random.uniform(4.5, 6.5)
    inside = {
        "ball": x**2 + y**2 + z**2 < size**2,
        "box": np.maximum(np.maximum(x, y), z) < 0.8 * size,
        "ring": (np.hypot(x, y) - 0.9 * size) ** 2 + z**2 < (0.4 * size) ** 2,
        "rod": (np.hypot(x, y) < 0.45 * size) & (z < 1.6 * size),
    }[solid]
    values = 60 + random.uniform(*_LEVELS) * inside + random.normal(0, _NOISE, shape)
    return np.clip(values, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    print(write_solids(Path(sys.argv[1])))
