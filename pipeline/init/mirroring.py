"""Test whether mirror images keep their class: train a simple classifier on originals, evaluate it on mirror images.

The features are the orientations of edges and the colours in a coarse grid (Dalal and Triggs 2005, "Histograms of
Oriented Gradients for Human Detection", without their overlapping blocks); the classifier is logistic regression.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE = 32  # pixels; images are resized to this height and width
_CELLS = 4  # along each axis
_BINS = 8  # orientations over the full circle, since mirroring changes the direction of a slope
_MIN = 60  # images for the evaluation; fewer are not conclusive
_CONCLUSIVE = 0.4  # minimum accuracy, from 0 (chance) to 1 (perfect), below which the test is inconclusive
_TOLERATED = 0.03  # largest acceptable loss of accuracy on mirror images


@dataclass(frozen=True)
class MirrorTest:
    """Results on images that the classifier was not trained on.

    Attributes:
        asked: Number of images.
        accuracy: Accuracy on the original images.
        mirrored: Accuracy on their mirror images.
        conclusive: Whether the classifier is accurate enough for a conclusion.
        keeps_class: Whether mirror images are recognized as well as the originals, in each class.
    """

    asked: int
    accuracy: float
    mirrored: float
    conclusive: bool
    keeps_class: bool


def compare_mirrored(
    images: NDArray[np.uint8], labels: NDArray[np.int64], classes: int, seed: int
) -> Mapping[str, MirrorTest]:
    """Evaluate the classifier on mirror images along each axis.

    Args:
        images: (n, SIDE, SIDE, 3) pixels.
        labels: (n,) class indices.
        classes: Number of classes.
        seed: Seed of the split into a training half and an evaluation half.

    Returns:
        A result for `horizontal` and `vertical`; empty if there are too few images.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    order = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(21,))).permutation(len(labels))
    learned, asked = order[: len(order) // 2], order[len(order) // 2 :]
    if len(asked) < _MIN or len(np.unique(labels[learned])) < 2:
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
            conclusive=float(right.mean()) > chance + _CONCLUSIVE * (1 - chance),
            keeps_class=bool(right.mean() - still.mean() <= _TOLERATED and max(lost, default=1.0) <= 0.25),
        )
    return results


def features(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Edge orientations and colours of images (n, SIDE, SIDE, 3) in a grid of cells: (n, features)."""
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
    """Mean of each cell, (n, cells)."""
    edge = SIDE // _CELLS
    means: NDArray[np.float64] = values.reshape(-1, _CELLS, edge, _CELLS, edge).mean(axis=(2, 4))
    return means.reshape(len(values), -1)
