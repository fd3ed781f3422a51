"""Test whether a network benefits from the arrangement of pixels, by training on permuted pixels."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.cnn.architecture import Architecture
from pipeline.data.rows import MappedRows, Rows, SelectedRows
from pipeline.data.split import Split
from pipeline.data.training_data import TrainingData
from pipeline.digest import digest
from pipeline.evaluation.comparison import Comparison, compare
from pipeline.evaluation.metrics import Predictions, chance
from pipeline.params import TrainingParams
from pipeline.terminal.progress import progress

_MAX_BYTES = 2**26  # of a split that is kept in memory
RELEVANT = 0.02  # a smaller gain in accuracy does not justify convolutions


@dataclass(frozen=True)
class PixelPermutationResult:
    """Result of the same short training on original images and on images with permuted pixels.

    Attributes:
        arranged: Validation accuracy on original images.
        permuted: Validation accuracy on images with permuted pixels.
        chance: Accuracy of always predicting the most frequent class.
        comparison: Comparison of the two networks on the same validation images.
        images: Number of training images.
        epochs: Number of epochs of each training run.
    """

    arranged: float
    permuted: float
    chance: float
    comparison: Comparison
    images: int
    epochs: int

    @property
    def verdict(self) -> Literal["benefit", "no_benefit", "inconclusive"]:
        """Whether the arrangement of the pixels raises the accuracy.

        `benefit`: it does. `no_benefit`: it does not, or by less than RELEVANT. `inconclusive`: the networks learned
        nothing, or there are too few validation images to decide.
        """
        if self.comparison.low > 0:
            return "benefit"
        learned = max(self.arranged, self.permuted) > self.chance + RELEVANT
        return "no_benefit" if learned and self.comparison.high < RELEVANT else "inconclusive"


def evaluate_permuted_pixels(
    architecture: Architecture,
    training: TrainingParams,
    data: TrainingData,
    images: int,
    epochs: int,
    confidence: float,
    seed: int,
) -> PixelPermutationResult:
    """Train the architecture twice for a short time: on the images, and on the images with one fixed pixel permutation.

    Both use the weights of the classes and of the images. Neither uses augmentation, which assumes that its input is an
    image.

    Args:
        architecture: Architecture of the evaluated network.
        training: Settings of the training runs.
        data: The splits to train on, and to evaluate both networks on.
        images: Maximum number of training images.
        epochs: Number of epochs of each training run.
        confidence: Level of the interval of the difference.
        seed: Seed of both training runs, the permutation, and the selection of images.
    """
    from pipeline.backend.predictor import make_predictor
    from pipeline.training.fit import fit

    none = training.augmentation.model_copy(update={"strength": 0.0, "flip": "none"})
    train, val = data.train, data.val
    brief = training.model_copy(update={"epochs": epochs, "patience": None, "gpus": 1, "augmentation": none})
    numbers = np.random.default_rng(seed)
    chosen = np.sort(numbers.permutation(len(train.labels))[:images])
    weights = None if train.weights is None else train.weights[chosen]
    part = _split(
        train, SelectedRows(train.images, chosen), train.labels[chosen], weights, ("selected", chosen.tolist())
    )
    order = numbers.permutation(int(np.prod(architecture.input_shape[:-1])))

    trained = progress(range(2 * epochs), "short training runs, epoch", 2 * epochs)
    next(trained)

    def count(*_: object) -> None:
        next(trained, None)

    def right(one: Split, other: Split) -> NDArray[np.bool_]:
        fitted = fit(architecture, brief, TrainingData(data.dataset, one, other), seed=seed, on_epoch=count)
        return Predictions(make_predictor(fitted.model(), brief.batch_size)(other.images), other.labels).correct

    arranged, permuted = right(part, val), right(_permuted(part, order), _permuted(val, order))
    comparison = compare(arranged, permuted, confidence)
    return PixelPermutationResult(
        float(arranged.mean()), float(permuted.mean()), chance(val.labels), comparison, len(chosen), epochs
    )


def _permuted(split: Split, order: NDArray[np.int64]) -> Split:
    """Permute the positions of each sample, all in the same order."""
    *grid, channels = split.images.shape[1:]

    def permute(images: NDArray[Any]) -> NDArray[Any]:
        before = images.shape[: images.ndim - len(grid) - 1]
        return images.reshape(*before, -1, channels)[..., order, :].reshape(images.shape)

    rows = MappedRows(split.images, permute, split.images.shape[1:], split.images.dtype)
    return _split(split, rows, split.labels, split.weights, ("permuted", order.tolist()))


def _split(
    split: Split,
    images: Rows,
    labels: NDArray[np.int64],
    weights: NDArray[np.float32] | None,
    made: tuple[str, list[int]],
) -> Split:
    """A split that is made from another one. Large images are read when they are needed, others only once."""
    size = len(images) * images.dtype.itemsize * int(np.prod(images.shape[1:], dtype=np.int64))
    read: Any = images[:] if size <= _MAX_BYTES else images
    return Split(split.name, read, labels, digest(split.digest, *made), weights=weights)
