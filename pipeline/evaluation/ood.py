"""Out-of-distribution detection."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile, is_zipfile

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.file_content import content_of
from pipeline.files import write_file
from pipeline.interpretation.network_outputs import NetworkOutputs

Score = Literal["features", "energy", "softmax"]
SCORES: tuple[Score, ...] = ("features", "energy", "softmax")

# If there are more features than this, they are projected onto the main directions of variance of the training images.
MAX_DIRECTIONS = 64

# Smallest relevant standard deviation of features of unit length. Smaller ones are float32 rounding, which depends on
# the processor: the training images do not differ in such a direction, for example that of a dead unit.
MIN_SPREAD = 1e-5

_MAX_BYTES = 1 << 30  # of a detector; each class has at most MAX_DIRECTIONS numbers


@dataclass(frozen=True)
class OODDetector:
    """Parameters of the scores, and the threshold above which an input is unfamiliar.

    Attributes:
        network: Digest of the network that the detector was fitted to.
        kind: Score that is compared with the threshold.
        threshold: Inputs with a higher score are unfamiliar.
        false_positive_rate: Requested share of familiar inputs above the threshold.
        origin: (d,) mean of the training images' features of unit length.
        directions: (d, k) projection of these features, after which the covariance within the classes is the identity.
        centres: (classes, k) mean of each class after the projection.
    """

    network: str
    kind: Score
    threshold: float
    false_positive_rate: float
    origin: NDArray[np.float64]
    directions: NDArray[np.float64]
    centres: NDArray[np.float64]

    def scores(self, outputs: NetworkOutputs, kind: Score | None = None) -> NDArray[np.float64]:
        """(n,) score of each input; higher for inputs that are less like the training data.

        features: squared Mahalanobis distance to the nearest class, after Lee, Lee, Lee and Shin (2018), "A Simple
        Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks", equation 2; on features of
        unit length, after Müller and Hein (2025), "Mahalanobis++: Improving OOD Detection via Feature Normalization".
        energy: after Liu, Wang, Owens and Li (2020), "Energy-based Out-of-distribution Detection", equation 4, T = 1.
        softmax: 1 minus the highest probability, after Hendrycks and Gimpel (2017), "A Baseline for Detecting
        Misclassified and Out-of-Distribution Examples in Neural Networks".
        """
        from scipy.special import logsumexp, softmax

        match kind or self.kind:
            case "features":
                places = _unit(outputs.features) @ self.directions - self.origin @ self.directions
                squared = (places**2).sum(axis=1)[:, None] - 2 * places @ self.centres.T
                return np.asarray((squared + (self.centres**2).sum(axis=1)).min(axis=1))
            case "energy":
                return np.asarray(-logsumexp(outputs.logits, axis=1))
            case "softmax":
                return np.asarray(1 - softmax(outputs.logits, axis=1).max(axis=1))

    def is_unfamiliar(self, outputs: NetworkOutputs) -> NDArray[np.bool_]:
        """(n,) whether the score of each input is above the threshold."""
        return np.asarray(self.scores(outputs) > self.threshold)


def fit_ood_detector(
    network: str,
    train: NetworkOutputs,
    labels: NDArray[np.int64],
    val: Iterable[NetworkOutputs],
    kind: Score,
    false_positive_rate: float,
) -> OODDetector:
    """Fit a detector to the training images, and set its threshold on the validation images.

    Args:
        network: Digest of the network.
        train: Outputs for the training images.
        labels: (n,) class indices of the training images.
        val: Outputs for images that were not used for training, in parts.
        kind: Score that is compared with the threshold.
        false_positive_rate: Share of familiar inputs that may be classified as unfamiliar.
    """
    features = _unit(train.features)
    origin = features.mean(axis=0)
    axes = _axes(features)
    places = (features - origin) @ axes
    seen = np.unique(labels)
    centres = np.stack([places[labels == label].mean(axis=0) for label in seen])
    whitening = _whitening(places - centres[np.searchsorted(seen, labels)])
    known = OODDetector(network, kind, np.inf, false_positive_rate, origin, axes @ whitening, centres @ whitening)
    scores = np.concatenate([known.scores(part) for part in val])
    return replace(known, threshold=float(np.quantile(scores, 1 - false_positive_rate, method="higher")))


def _axes(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """(d, k) orthonormal: the identity for up to MAX_DIRECTIONS features, else the principal components."""
    from sklearn.decomposition import PCA

    images, width = features.shape
    if width <= MAX_DIRECTIONS:
        return np.eye(width)
    with np.errstate(invalid="ignore"):  # identical features have no explained variance ratio
        found = PCA(min(MAX_DIRECTIONS, images), random_state=0).fit(features)
    spread = int((found.explained_variance_ > MIN_SPREAD**2).sum())
    return np.asarray(found.components_[: max(1, spread)].T)


def _whitening(residuals: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k, k) matrix that makes the covariance of the residuals, shrunk after Ledoit and Wolf, the identity.

    The variances are at least MIN_SPREAD**2 before they are inverted: without spread they are zero, or rounding
    errors.
    """
    from sklearn.covariance import LedoitWolf

    within = LedoitWolf(assume_centered=True, store_precision=False).fit(residuals)
    variances, directions = np.linalg.eigh(within.covariance_)
    return np.asarray(directions / np.sqrt(np.maximum(variances, MIN_SPREAD**2)))


def _unit(features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Scale each row to length 1; rows of zeros are unchanged."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.where(lengths > 0, lengths, 1), np.float64)


def auroc(familiar: NDArray[np.float64], unfamiliar: NDArray[np.float64]) -> float:
    """Probability that an unfamiliar input has a higher score than a familiar one; 0.5 is chance."""
    from sklearn.metrics import roc_auc_score

    truth = np.repeat([0, 1], [len(familiar), len(unfamiliar)])
    return float(roc_auc_score(truth, np.concatenate([familiar, unfamiliar])))


def noise_like(images: NDArray[Any], seed: int) -> NDArray[Any]:
    """Uniform noise between the smallest and largest value of the given images, with their shape and type."""
    low, high = np.min(images), np.max(images)
    drawn = np.random.default_rng(seed).uniform(low, float(high) + (images.dtype == np.uint8), images.shape)
    return np.clip(drawn, low, high).astype(images.dtype)


def shuffled(images: NDArray[Any], seed: int) -> NDArray[Any]:
    """Shuffle the positions of each image independently. The values stay the same, the arrangement is lost."""
    flat = np.asarray(images).reshape(len(images), -1, images.shape[-1])
    order = np.random.default_rng(seed).random(flat.shape[:2]).argsort(axis=1)
    return np.asarray(np.take_along_axis(flat, order[..., None], axis=1).reshape(images.shape))


def write_ood_detector(detector: OODDetector, path: Path) -> None:
    """Write a detector as an npz file. Equal detectors produce identical bytes."""
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in asdict(detector).items()}
    np.savez(written := BytesIO(), **arrays)
    write_file(path, written.getvalue())


def read_ood_detector(path: Path) -> OODDetector:
    """Read a detector that `write_ood_detector` wrote.

    Raises:
        UserError: The file is missing or damaged.
    """
    try:
        stream = BytesIO(content_of(path, str(path), "an npz file", _MAX_BYTES, "run `dvc repro evaluate`"))
        if not is_zipfile(stream):
            raise ValueError("not an npz file")
        with np.load(stream, allow_pickle=False) as file:
            return OODDetector(
                network=str(file["network"]),
                kind=str(file["kind"]),  # type: ignore[arg-type]
                threshold=float(file["threshold"]),
                false_positive_rate=float(file.get("false_positive_rate", file.get("false_alarms"))),
                origin=file["origin"],
                directions=file["directions"],
                centres=file["centres"],
            )
    except (MemoryError, OSError, ValueError, TypeError, KeyError, EOFError, BadZipFile) as error:
        raise UserError(
            f"{path}: must be a file written by the stage evaluate: {error}; run `dvc repro --force evaluate`"
        ) from None
