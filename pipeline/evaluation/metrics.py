"""How good a network's answers are, as figures."""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Predictions:
    """A network's answers to labelled images.

    Attributes:
        probabilities: (n, classes), each row sums to 1.
        labels: (n,), numbers of classes.
    """

    probabilities: NDArray[np.float64]
    labels: NDArray[np.int64]

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(n,), the likeliest class of each image."""
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)

    @property
    def confidence(self) -> NDArray[np.float64]:
        """(n,), the probability of the likeliest class."""
        return np.asarray(self.probabilities.max(axis=1))

    @property
    def correct(self) -> NDArray[np.bool_]:
        """(n,), whether the likeliest class is the right one."""
        return np.equal(self.predicted, self.labels)

    def bins(self, count: int) -> NDArray[np.int64]:
        """(n,), in which of so many bins of equal width over 0 to 1 each confidence lies."""
        return np.asarray(np.minimum((self.confidence * count).astype(int), count - 1))

    def among(self, k: int) -> NDArray[np.bool_]:
        """(n,), whether the right class is among the k likeliest; of equally likely ones, the first come first."""
        likeliest = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :k]
        return np.asarray((likeliest == self.labels[:, None]).any(axis=1))


def wilson_interval(hits: int, n: int, confidence: float) -> tuple[float, float]:
    """The score interval for a proportion, after Wilson (1927), "Probable Inference, the Law of Succession, and
    Statistical Inference", Journal of the American Statistical Association 22.

    Args:
        hits: successes, from 0 to n.
        n: trials, from 1.
        confidence: level of the interval, such as 0.95.

    Returns:
        The lower and upper bound, within 0 to 1.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = hits / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return max(0.0, centre - half) if hits else 0.0, min(1.0, centre + half) if hits < n else 1.0


def chance(labels: NDArray[np.int64]) -> float:
    """The accuracy of always answering the commonest class: the no-information rate.

    Args:
        labels: (n,), numbers of classes.
    """
    return float(np.bincount(labels).max() / len(labels))


@dataclass(frozen=True)
class CalibrationBin:
    """Answers of about one confidence: their mean confidence, their accuracy, their number."""

    confidence: float
    accuracy: float
    count: int

    def interval(self, level: float) -> tuple[float, float]:
        """Wilson's interval of the accuracy at a level such as 0.95."""
        return wilson_interval(round(self.accuracy * self.count), self.count, level)


def calibration(answers: Predictions, bins: int) -> tuple[CalibrationBin, ...]:
    """The answers by confidence, in bins of equal width over 0 to 1; empty bins are left out."""
    places = answers.bins(bins)
    found = []
    for place in range(bins):
        inside = places == place
        if inside.any():
            confidence, accuracy = float(answers.confidence[inside].mean()), float(answers.correct[inside].mean())
            found.append(CalibrationBin(confidence, accuracy, int(inside.sum())))
    return tuple(found)


def expected_calibration_error(bins: tuple[CalibrationBin, ...]) -> float:
    """Mean distance of confidence and accuracy over the answers, after Guo, Pleiss, Sun and Weinberger (2017),
    "On Calibration of Modern Neural Networks", equation 3.
    """
    n = sum(entry.count for entry in bins)
    return sum(entry.count / n * abs(entry.accuracy - entry.confidence) for entry in bins)


def per_class(answers: Predictions, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Precision, recall, F1 and support of each class; what has no denominator is 0."""
    from sklearn.metrics import precision_recall_fscore_support

    figures = precision_recall_fscore_support(
        answers.labels, answers.predicted, labels=range(len(classes)), zero_division=0
    )
    return [
        {"class": name, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
        for name, p, r, f, s in zip(classes, *figures, strict=True)
    ]


def summary(answers: Predictions, confidence: float, bins: int, top_k: int) -> dict[str, float]:
    """The figures of the quality of answers. Classes that no image has count for nothing, unless they are answered.

    `accuracy_low` and `accuracy_high` are the bounds of Wilson's interval at the level `confidence`, and so for
    `top_k_accuracy`; `log_loss` is in nats; the
    `brier_score` is the squared distance of the probabilities from the right answer, from 0 to 2; for
    `top_k_accuracy` the right class must be among the `top_k` likeliest.
    """
    from sklearn.metrics import f1_score, log_loss, recall_score

    numbers = range(answers.probabilities.shape[1])
    low, high = wilson_interval(int(answers.correct.sum()), len(answers.labels), confidence)
    among = wilson_interval(int(answers.among(top_k).sum()), len(answers.labels), confidence)
    one_hot = np.eye(len(numbers))[answers.labels]
    return {
        "accuracy": float(answers.correct.mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "balanced_accuracy": float(
            recall_score(answers.labels, answers.predicted, labels=np.unique(answers.labels), average="macro")
        ),
        "macro_f1": float(
            f1_score(
                answers.labels, answers.predicted, labels=np.union1d(answers.labels, answers.predicted), average="macro"
            )
        ),
        "top_k_accuracy": float(answers.among(top_k).mean()),
        "top_k_accuracy_low": among[0],
        "top_k_accuracy_high": among[1],
        "log_loss": float(log_loss(answers.labels, answers.probabilities, labels=numbers)),
        "brier_score": float(((answers.probabilities - one_hot) ** 2).sum(axis=1).mean()),
        "expected_calibration_error": expected_calibration_error(calibration(answers, bins)),
        "images": len(answers.labels),
        "chance": chance(answers.labels),
    }
