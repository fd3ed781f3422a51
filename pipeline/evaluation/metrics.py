"""Metrics of classification quality."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.sections import EvaluateParams


@dataclass(frozen=True)
class Predictions:
    """Predictions for labelled images.

    Attributes:
        probabilities: (n, classes) probabilities; each row sums to 1.
        labels: (n,) class indices.
    """

    probabilities: NDArray[np.float64]
    labels: NDArray[np.int64]

    def of(self, places: NDArray[np.int64]) -> "Predictions":
        """The predictions for some of the images.

        Args:
            places: (m,) indices of these images.
        """
        return Predictions(self.probabilities[places], self.labels[places])

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(n,) most probable class of each image."""
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)

    @property
    def confidence(self) -> NDArray[np.float64]:
        """(n,) probability of the most probable class."""
        return np.asarray(self.probabilities.max(axis=1))

    @property
    def correct(self) -> NDArray[np.bool_]:
        """(n,) whether the most probable class is the right one."""
        return np.equal(self.predicted, self.labels)

    def bins(self, count: int) -> NDArray[np.int64]:
        """(n,) bin of each confidence, for `count` bins of equal width from 0 to 1."""
        return np.asarray(np.minimum((self.confidence * count).astype(int), count - 1))

    def among(self, k: int) -> NDArray[np.bool_]:
        """(n,) whether the right class is among the k most probable ones; ties are broken by the class index."""
        most_probable = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :k]
        return np.asarray((most_probable == self.labels[:, None]).any(axis=1))


def wilson_interval(hits: int, n: int, confidence: float) -> tuple[float, float]:
    """Score interval of a proportion.

    After Wilson (1927), "Probable Inference, the Law of Succession, and Statistical Inference", Journal of the American
    Statistical Association 22.

    Args:
        hits: Number of successes, from 0 to n.
        n: Number of trials, at least 1.
        confidence: Level of the interval, such as 0.95.

    Returns:
        The lower and upper bound, within 0 to 1.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = hits / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return max(0.0, centre - half) if hits else 0.0, min(1.0, centre + half) if hits < n else 1.0


def chance(labels: NDArray[np.int64]) -> float:
    """Accuracy of always predicting the most frequent class: the no-information rate.

    Args:
        labels: (n,) class indices.
    """
    return float(np.bincount(labels).max() / len(labels))


@dataclass(frozen=True)
class CalibrationBin:
    """Predictions of similar confidence: their mean confidence, their accuracy, their number."""

    confidence: float
    accuracy: float
    count: int

    def interval(self, level: float) -> tuple[float, float]:
        """Wilson interval of the accuracy at a level such as 0.95."""
        return wilson_interval(round(self.accuracy * self.count), self.count, level)


def calibration(predictions: Predictions, bins: int) -> tuple[CalibrationBin, ...]:
    """Group predictions by confidence into bins of equal width from 0 to 1. Empty bins are left out."""
    places = predictions.bins(bins)
    found = []
    for place in range(bins):
        inside = places == place
        if inside.any():
            confidence = float(predictions.confidence[inside].mean())
            accuracy = float(predictions.correct[inside].mean())
            found.append(CalibrationBin(confidence, accuracy, int(inside.sum())))
    return tuple(found)


def per_class(predictions: Predictions, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Precision, recall, F1 and support of each class; 0 where the denominator is 0."""
    from sklearn.metrics import precision_recall_fscore_support

    figures = precision_recall_fscore_support(
        predictions.labels, predictions.predicted, labels=range(len(classes)), zero_division=0
    )
    return [
        {"class": name, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
        for name, p, r, f, s in zip(classes, *figures, strict=True)
    ]


Weights = NDArray[np.float64]  # (ways, n): how often each image counts, for several weightings


@dataclass(frozen=True)
class Metric:
    """A metric of classification quality.

    Attributes:
        title: Title in reports; `{k}` is replaced by `evaluate.top_k`.
        compute: Function from predictions for n images and weights (ways, n) to values (ways,).
        is_share: Whether the metric is a share of the images. Such metrics have Wilson intervals, whose width stays
            above 0 at a share of 1; the others have bootstrap intervals.
    """

    title: str
    compute: Callable[[Predictions, Weights, EvaluateParams], NDArray[np.float64]]
    is_share: bool = False


def _accuracy(predictions: Predictions, weights: Weights, params: EvaluateParams) -> NDArray[np.float64]:
    return _mean(weights, predictions.correct)


def _balanced_accuracy(predictions: Predictions, weights: Weights, params: EvaluateParams) -> NDArray[np.float64]:
    """Mean recall of the classes that have images."""
    hits, present, _ = _class_counts(predictions, weights)
    return np.asarray(np.nanmean(np.where(present > 0, hits / np.maximum(present, 1), np.nan), axis=1))


def _macro_f1(predictions: Predictions, weights: Weights, params: EvaluateParams) -> NDArray[np.float64]:
    """Mean F1 of the classes that have images or are predicted."""
    hits, present, predicted = _class_counts(predictions, weights)
    f1 = np.where(present + predicted > 0, 2 * hits / np.maximum(present + predicted, 1), np.nan)
    return np.asarray(np.nanmean(f1, axis=1))


def _top_k_accuracy(predictions: Predictions, weights: Weights, params: EvaluateParams) -> NDArray[np.float64]:
    """Share of images whose class is among the k most probable ones."""
    return _mean(weights, predictions.among(params.top_k))


def _log_loss(predictions: Predictions, weights: Weights, params: EvaluateParams) -> NDArray[np.float64]:
    """Mean log loss in nats. Probabilities are at least the machine epsilon of their type, to keep it finite."""
    right = predictions.probabilities[np.arange(len(predictions.labels)), predictions.labels]
    return _mean(weights, -np.log(np.maximum(right, np.finfo(right.dtype).eps)))


def _brier_score(predictions: Predictions, weights: Weights, params: EvaluateParams) -> NDArray[np.float64]:
    """Squared distance between the probabilities and the one-hot label, from 0 to 2."""
    one_hot = np.eye(predictions.probabilities.shape[1])[predictions.labels]
    return _mean(weights, ((predictions.probabilities - one_hot) ** 2).sum(axis=1))


def _expected_calibration_error(
    predictions: Predictions, weights: Weights, params: EvaluateParams
) -> NDArray[np.float64]:
    """Mean distance between confidence and accuracy.

    After Guo, Pleiss, Sun and Weinberger (2017), "On Calibration of Modern Neural Networks", equation 3.
    """
    bins = params.calibration_bins
    gap = predictions.confidence - predictions.correct
    gaps = weights @ (np.eye(bins)[predictions.bins(bins)] * gap[:, None])
    return np.asarray(np.abs(gaps).sum(axis=1) / weights.sum(axis=1))


# All quality metrics. Each is shown with its interval on the page and in MLflow, and written to details.json, or to
# metrics.json if it is in COMPARED in pipeline/report/builder.py. Its name must also be in QUALITY in
# pipeline/sections/gate_rules.py, for rules of `register.gate`.
METRICS: dict[str, Metric] = {
    "accuracy": Metric("accuracy", _accuracy, is_share=True),
    "balanced_accuracy": Metric("balanced accuracy", _balanced_accuracy),
    "macro_f1": Metric("macro F1", _macro_f1),
    "top_k_accuracy": Metric("top-{k} accuracy", _top_k_accuracy, is_share=True),
    "log_loss": Metric("log loss, nats", _log_loss),
    "brier_score": Metric("Brier score, 0 to 2", _brier_score),
    "expected_calibration_error": Metric("expected calibration error", _expected_calibration_error),
}


def summary(predictions: Predictions, params: EvaluateParams) -> dict[str, float]:
    """Value of each metric in METRICS, the number of `images`, and the accuracy of `chance`.

    Args:
        predictions: Predictions for labelled images.
        params: The section `evaluate` of params.yaml; top_k and calibration_bins are used.
    """
    values = {name: _value(metric, predictions, params) for name, metric in METRICS.items()}
    return values | {"images": len(predictions.labels), "chance": chance(predictions.labels)}


def share_intervals(predictions: Predictions, params: EvaluateParams) -> dict[str, tuple[float, float]]:
    """Wilson interval of each metric in METRICS that is a share of the images.

    Args:
        predictions: Predictions for labelled images.
        params: The section `evaluate` of params.yaml; top_k and confidence_level are used.
    """
    n = len(predictions.labels)
    return {
        name: wilson_interval(round(_value(metric, predictions, params) * n), n, params.confidence_level)
        for name, metric in METRICS.items()
        if metric.is_share
    }


def _value(metric: Metric, predictions: Predictions, params: EvaluateParams) -> float:
    """The value where each image counts once."""
    return float(metric.compute(predictions, np.ones((1, len(predictions.labels))), params)[0])


def _mean(weights: Weights, values: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(weights @ values / weights.sum(axis=1))


def _class_counts(
    predictions: Predictions, weights: Weights
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(ways, classes) each: correctly predicted images of each class, its images, and images predicted as it."""
    classes = np.eye(predictions.probabilities.shape[1])
    actual, predicted = classes[predictions.labels], classes[predictions.predicted]
    return weights @ (actual * predicted), weights @ actual, weights @ predicted
