"""Test whether mirror images keep their class: does a simple classifier become worse if it learns mirror images, too?

A mirror image that looks like another class, such as that of a b, is learned with the wrong class. One that looks like
nothing else, such as a shoe that points to the other side, does no harm.

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
_SPLITS = 5  # into training and evaluation images, since the loss on 400 images varies by about 0.01
# Largest acceptable mean loss of accuracy, over all images and within a class. On 800 images, horizontally mirrored
# Fashion-MNIST loses 0.01, printed digits 0.02, handwritten ones 0.04, letters 0.09.
_TOLERATED, _TOLERATED_IN_A_CLASS = 0.015, 0.15


@dataclass(frozen=True)
class MirrorTest:
    """Results on images that the classifier was not trained on, means over several splits.

    Attributes:
        asked: Number of images for the evaluation.
        accuracy: Accuracy of the classifier that was trained on original images.
        mirrored: Accuracy on the same original images of the one that was trained on their mirror images as well.
        conclusive: Whether the classifier is accurate enough for a conclusion.
        keeps_class: Whether the second one is about as accurate, in each class.
    """

    asked: int
    accuracy: float
    mirrored: float
    conclusive: bool
    keeps_class: bool


def compare_mirrored(
    images: NDArray[np.uint8], labels: NDArray[np.int64], classes: int, seed: int
) -> Mapping[str, MirrorTest]:
    """Train the classifier without and with mirror images along each axis, and evaluate it on original images.

    Args:
        images: (n, SIDE, SIDE, 3) pixels.
        labels: (n,) class indices.
        classes: Number of classes.
        seed: Seed of the splits into a training half and an evaluation half.

    Returns:
        A result for `horizontal` and `vertical`; empty if there are too few images.
    """
    draw = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(21,)))
    orders = [draw.permutation(len(labels)) for _ in range(_SPLITS)]
    asked = len(labels) - len(labels) // 2
    if asked < _MIN or any(len(np.unique(labels[order[: len(order) // 2]])) < 2 for order in orders):
        return {}
    original = features(images)
    chance = float(np.bincount(labels, minlength=classes).max() / len(labels))
    results = {}
    for axis, turned in (("horizontal", images[:, :, ::-1]), ("vertical", images[:, ::-1])):
        mirrored = features(turned)
        splits = [_without_and_with(original, mirrored, labels, classes, order) for order in orders]
        hits, asked_of_class = (np.sum(values, axis=0) for values in zip(*splits, strict=True))
        before, after = hits.sum(axis=1) / asked_of_class.sum()
        lost = (hits[0] - hits[1])[asked_of_class >= 5] / asked_of_class[asked_of_class >= 5]
        results[axis] = MirrorTest(
            asked=asked,
            accuracy=float(before),
            mirrored=float(after),
            conclusive=float(before) > chance + _CONCLUSIVE * (1 - chance),
            keeps_class=bool(before - after <= _TOLERATED and lost.max(initial=0.0) <= _TOLERATED_IN_A_CLASS),
        )
    return results


def _without_and_with(
    original: NDArray[np.float64],
    mirrored: NDArray[np.float64],
    labels: NDArray[np.int64],
    classes: int,
    order: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Train on the first half of `order`, without and with mirror images, and evaluate on the other half.

    Returns:
        Counts of correctly classified images (2, classes), and of all evaluated images (classes,).
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    learned, asked = order[: len(order) // 2], order[len(order) // 2 :]
    truth, hits = labels[asked], []
    for parts in ([original], [original, mirrored]):
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=300))
        classifier.fit(np.concatenate([part[learned] for part in parts]), np.tile(labels[learned], len(parts)))
        right = truth[classifier.predict(original[asked]) == truth]
        hits.append(np.bincount(right, minlength=classes))
    return np.array(hits), np.bincount(truth, minlength=classes)


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
