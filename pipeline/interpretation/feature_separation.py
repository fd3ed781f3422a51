"""Measure how well the input of the last layer separates the classes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FeatureSeparation:
    """Images in the feature space of the last layer.

    Attributes:
        places: (n, 2) projections onto the first two principal components.
        silhouettes: (classes,) mean silhouette of each class, -1 to 1; NaN for a class without images.
    """

    places: NDArray[np.float64]
    silhouettes: NDArray[np.float64]


def separate_features(
    features: NDArray[np.floating[Any]], labels: NDArray[np.int64], classes: int
) -> FeatureSeparation:
    """Project features onto two principal components, and compute the silhouette of each class.

    The silhouettes follow Rousseeuw (1987), "Silhouettes: a graphical aid to the interpretation and validation of
    cluster analysis".

    Args:
        features: (n, d) features; the silhouettes compare all pairs of the n images.
        labels: (n,) class indices.
        classes: Number of classes.
    """
    from sklearn.decomposition import PCA
    from sklearn.metrics import silhouette_samples

    places = np.zeros((len(labels), 2))
    with np.errstate(invalid="ignore"):  # identical features have no explained variance ratio
        found = PCA(min(2, *features.shape), random_state=0).fit_transform(features)
    places[:, : found.shape[1]] = found
    silhouettes = np.full(classes, np.nan)
    if 2 <= len(np.unique(labels)) < len(labels):
        each = silhouette_samples(features, labels)
        for label in np.unique(labels):
            silhouettes[label] = each[labels == label].mean()
    return FeatureSeparation(places, silhouettes)
