"""Do mirror images keep their class? A simple classifier that learned the originals is asked about their mirror images.

The features are the orientations of edges and the colours in a coarse grid (Dalal and Triggs 2005, "Histograms of
Oriented Gradients for Human Detection", without their overlapping blocks); the classifier is logistic regression.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE = 32  # pixels, to which images are resized for this
_CELLS = 4  # along each axis
_BINS = 8  # orientations, over the full circle: a mirrored slope is another one
_LEAST = 60  # images that the classifier is asked about; fewer prove nothing
_TELLING = 0.4  # of the way from guessing to perfect: a classifier that is worse says nothing about classes
_TOLERATED = 0.03  # accuracy that mirror images may lose


@dataclass(frozen=True)
class MirrorTest:
    """What was measured on images that the classifier did not learn from.

    Attributes:
        asked: how many images.
        accuracy: on them as they are.
        mirrored: on their mirror images.
        telling: whether the classifier is good enough to say anything.
        keeps_class: whether mirror images are recognised as well as the originals, in each class.
    """

    asked: int
    accuracy: float
    mirrored: float
    telling: bool
    keeps_class: bool


def compare_mirrored(
    images: NDArray[np.uint8], labels: NDArray[np.int64], classes: int, seed: int
) -> Mapping[str, MirrorTest]:
    """Ask about mirror images along each axis.

    Args:
        images: (n, SIDE, SIDE, 3).
        labels: (n,).
        classes: how many there are.
        seed: of the halves: one is learned, one is asked.

    Returns:
        A result for `horizontal` and `vertical`; empty if there are too few images.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    order = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(21,))).permutation(len(labels))
    learned, asked = order[: len(order) // 2], order[len(order) // 2 :]
    if len(asked) < _LEAST or len(np.unique(labels[learned])) < 2:
        return {}
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=300))
    classifier.fit(features(images[learned]), labels[learned])
    truth = labels[asked]
    right = classifier.predict(features(images[asked])) == truth
    chance = float(np.bincount(truth, minlength=classes).max() / len(truth))
    results = {}
    for axis, turned in (("horizontal", images[asked][:, :, ::-1]), ("vertical", images[asked][:, ::-1])):
        still = classifier.predict(features(turned)) == truth
        lost = [
            right[truth == label].mean() - still[truth == label].mean()
            for label in range(classes)
            if (truth == label).sum() >= 5
        ]
        results[axis] = MirrorTest(
            asked=len(asked),
            accuracy=float(right.mean()),
            mirrored=float(still.mean()),
            telling=float(right.mean()) > chance + _TELLING * (1 - chance),
            keeps_class=bool(right.mean() - still.mean() <= _TOLERATED and max(lost, default=1.0) <= 0.25),
        )
    return results


def features(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Edges and colours of images (n, SIDE, SIDE, 3) in a grid of cells: (n, features)."""
    grey = images.mean(axis=-1)
    down, right = np.gradient(grey, axis=(1, 2))
    strength = np.hypot(down, right)
    number = np.floor((np.arctan2(down, right) / (2 * np.pi) % 1.0) * _BINS).astype(int) % _BINS
    histograms = [_cells(np.where(number == each, strength, 0.0)) for each in range(_BINS)]
    colours = [_cells(images[..., channel].astype(np.float64)) for channel in range(3)]
    edges = np.concatenate(histograms, axis=1)
    edges /= np.linalg.norm(edges, axis=1, keepdims=True) + 1e-6
    return np.concatenate([edges, *(colour / 255 for colour in colours)], axis=1)


def _cells(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each cell, (n, cells)."""
    edge = SIDE // _CELLS
    means: NDArray[np.float64] = values.reshape(-1, _CELLS, edge, _CELLS, edge).mean(axis=(2, 4))
    return means.reshape(len(values), -1)
