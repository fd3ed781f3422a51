"""How well the last layer's input tells the classes apart."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FeatureSeparation:
    """Images in the space of the last layer's features.

    Attributes:
        places: (n, 2) projected onto the two directions in which they differ most.
        silhouettes: (classes,) mean silhouette of each class, -1 to 1; NaN for a class with no image.
    """

    places: NDArray[np.float64]
    silhouettes: NDArray[np.float64]


def separate_features(
    features: NDArray[np.floating[Any]], labels: NDArray[np.int64], classes: int
) -> FeatureSeparation:
    """Project features to a plane by principal components, and judge the classes by Rousseeuw's silhouettes (1987),
    "Silhouettes: a graphical aid to the interpretation and validation of cluster analysis".

    Args:
        features: (n, d); the silhouettes compare all pairs of the n images.
        labels: (n,), numbers of classes.
        classes: how many there are.
    """
    from sklearn.decomposition import PCA
    from sklearn.metrics import silhouette_samples

    places = np.zeros((len(labels), 2))
    with np.errstate(invalid="ignore"):  # features that do not differ at all have no ratio of variances
        found = PCA(min(2, *features.shape), random_state=0).fit_transform(features)
    places[:, : found.shape[1]] = found
    silhouettes = np.full(classes, np.nan)
    if 2 <= len(np.unique(labels)) < len(labels):
        each = silhouette_samples(features, labels)
        for label in np.unique(labels):
            silhouettes[label] = each[labels == label].mean()
    return FeatureSeparation(places, silhouettes)
