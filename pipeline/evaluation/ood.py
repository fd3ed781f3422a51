"""Telling inputs that are unlike the training data from familiar ones."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.files import write_file

Score = Literal["features", "energy", "softmax"]
SCORES: tuple[Score, ...] = ("features", "energy", "softmax")

# More features than this are projected onto the directions in which the training images differ most.
MOST_DIRECTIONS = 64

# The smallest standard deviation that counts, of features of unit length. What is below is float32 rounding, which
# depends on the processor: in such a direction, as of a dead unit, the training images do not differ.
LEAST_SPREAD = 1e-5


@dataclass(frozen=True)
class NetworkOutputs:
    """What a network's last layers say about n images.

    Attributes:
        features: (n, d), the input of the last layer.
        logits: (n, classes), its scores before softmax.
    """

    features: NDArray[np.floating[Any]]
    logits: NDArray[np.floating[Any]]


def joined(parts: Iterable[NetworkOutputs]) -> NetworkOutputs:
    """What the network says about all images of the parts."""
    features, logits = zip(*((part.features, part.logits) for part in parts), strict=True)
    return NetworkOutputs(np.concatenate(features), np.concatenate(logits))


@dataclass(frozen=True)
class OODDetector:
    """What is needed to score an input, and the score from which on it counts as unfamiliar.

    Attributes:
        network: digest of the network that it belongs to.
        kind: which score decides.
        threshold: an input that scores above it is unfamiliar.
        false_alarms: the share of familiar inputs above the threshold that was asked for.
        origin: (d,), mean of the training images' features of unit length.
        directions: (d, k), from those to k numbers in which each class is spread out alike in all directions.
        centres: (classes, k), mean of each class there.
    """

    network: str
    kind: Score
    threshold: float
    false_alarms: float
    origin: NDArray[np.float64]
    directions: NDArray[np.float64]
    centres: NDArray[np.float64]

    def scores(self, insight: NetworkOutputs, kind: Score | None = None) -> NDArray[np.float64]:
        """(n,), higher for inputs less like the training data.

        features: squared Mahalanobis distance to the nearest class, after Lee, Lee, Lee and Shin (2018), "A Simple
        Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks", equation 2; of features of
        unit length, after Müller and Hein (2025), "Mahalanobis++: Improving OOD Detection via Feature Normalization".
        energy: after Liu, Wang, Owens and Li (2020), "Energy-based Out-of-distribution Detection", equation 4, T = 1.
        softmax: 1 less the greatest probability, after Hendrycks and Gimpel (2017), "A Baseline for Detecting
        Misclassified and Out-of-Distribution Examples in Neural Networks".
        """
        from scipy.special import logsumexp, softmax

        match kind or self.kind:
            case "features":
                places = _unit(insight.features) @ self.directions - self.origin @ self.directions
                squared = (places**2).sum(axis=1)[:, None] - 2 * places @ self.centres.T
                return np.asarray((squared + (self.centres**2).sum(axis=1)).min(axis=1))
            case "energy":
                return np.asarray(-logsumexp(insight.logits, axis=1))
            case "softmax":
                return np.asarray(1 - softmax(insight.logits, axis=1).max(axis=1))

    def is_unfamiliar(self, insight: NetworkOutputs) -> NDArray[np.bool_]:
        """(n,), whether each input is above the threshold."""
        return np.asarray(self.scores(insight) > self.threshold)


def fit_ood_detector(
    network: str,
    train: NetworkOutputs,
    labels: NDArray[np.int64],
    val: Iterable[NetworkOutputs],
    kind: Score,
    false_alarms: float,
) -> OODDetector:
    """Fit to the training images; put the threshold where so many of the validation images are above it.

    Args:
        network: its digest.
        train: of training images.
        labels: (n,), of the same images.
        val: of images that were not trained on, part by part.
        kind: the score that decides.
        false_alarms: share of familiar inputs that may be called unfamiliar.
    """
    features = _unit(train.features)
    origin = features.mean(axis=0)
    axes = _axes(features)
    places = (features - origin) @ axes
    seen = np.unique(labels)
    centres = np.stack([places[labels == label].mean(axis=0) for label in seen])
    whitening = _whitening(places - centres[np.searchsorted(seen, labels)])
    known = OODDetector(network, kind, np.inf, false_alarms, origin, axes @ whitening, centres @ whitening)
    scores = np.concatenate([known.scores(part) for part in val])
    return replace(known, threshold=float(np.quantile(scores, 1 - false_alarms, method="higher")))


def _axes(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """(d, k), orthonormal: all of at most MOST_DIRECTIONS features, else the main ones in which the images differ."""
    from sklearn.decomposition import PCA

    images, width = features.shape
    if width <= MOST_DIRECTIONS:
        return np.eye(width)
    with np.errstate(invalid="ignore"):  # features that do not differ at all have no ratio of variances
        found = PCA(min(MOST_DIRECTIONS, images), random_state=0).fit(features)
    spread = int((found.explained_variance_ > LEAST_SPREAD**2).sum())
    return np.asarray(found.components_[: max(1, spread)].T)


def _whitening(residuals: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k, k), under which the covariance of the residuals, shrunk after Ledoit and Wolf, is the identity.

    The variances are floored at LEAST_SPREAD**2 and not inverted as they are: without spread they are zero, or
    whatever rounding leaves of it.
    """
    from sklearn.covariance import LedoitWolf

    within = LedoitWolf(assume_centered=True, store_precision=False).fit(residuals)
    variances, directions = np.linalg.eigh(within.covariance_)
    return np.asarray(directions / np.sqrt(np.maximum(variances, LEAST_SPREAD**2)))


def _unit(features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Each row at the length 1; a row of zeros stays."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.where(lengths > 0, lengths, 1), np.float64)


def auroc(familiar: NDArray[np.float64], unfamiliar: NDArray[np.float64]) -> float:
    """How likely an unfamiliar input scores above a familiar one; 0.5 is chance."""
    from sklearn.metrics import roc_auc_score

    truth = np.repeat([0, 1], [len(familiar), len(unfamiliar)])
    return float(roc_auc_score(truth, np.concatenate([familiar, unfamiliar])))


def noise_like(images: NDArray[Any], seed: int) -> NDArray[Any]:
    """Images of uniform noise between the least and the greatest value of the given ones, of their shape and type."""
    low, high = np.min(images), np.max(images)
    drawn = np.random.default_rng(seed).uniform(low, float(high) + (images.dtype == np.uint8), images.shape)
    return np.clip(drawn, low, high).astype(images.dtype)


def shuffled(images: NDArray[Any], seed: int) -> NDArray[Any]:
    """The images with the positions of each one shuffled anew: its values stay, its arrangement goes."""
    flat = np.asarray(images).reshape(len(images), -1, images.shape[-1])
    order = np.random.default_rng(seed).random(flat.shape[:2]).argsort(axis=1)
    return np.asarray(np.take_along_axis(flat, order[..., None], axis=1).reshape(images.shape))


def write_ood_detector(familiarity: OODDetector, path: Path) -> None:
    """Write an npz file; equal contents give equal bytes."""
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in asdict(familiarity).items()}
    np.savez(written := BytesIO(), **arrays)
    write_file(path, written.getvalue())


def read_ood_detector(path: Path) -> OODDetector:
    """What `write_ood_detector` wrote.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return OODDetector(
                network=str(file["network"]),
                kind=str(file["kind"]),  # type: ignore[arg-type]
                threshold=float(file["threshold"]),
                false_alarms=float(file["false_alarms"]),
                origin=file["origin"],
                directions=file["directions"],
                centres=file["centres"],
            )
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run dvc repro evaluate") from None
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise UserError(f"{path}: must be as evaluate writes it: {error}; run dvc repro --force evaluate") from None
