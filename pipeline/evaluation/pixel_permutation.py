"""What the arrangement of an image's positions is worth to a network: whether its input is an image at all."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.cnn.architecture import Architecture
from pipeline.console import progress
from pipeline.data.dataset import Dataset
from pipeline.data.split import Split, make_split
from pipeline.evaluation.comparison import Comparison, compare
from pipeline.evaluation.metrics import Predictions
from pipeline.params import TrainingParams

RELEVANT = 0.02  # a gain in accuracy below this is none that is worth a convolution


@dataclass(frozen=True)
class PixelPermutationResult:
    """The same brief training on images as they are, and with their positions permuted.

    Attributes:
        arranged: validation accuracy on images as they are.
        permuted: with their positions permuted.
        chance: what the answer of the most frequent class alone would reach.
        comparison: of the two on the same validation images.
        images: that were trained on.
        epochs: of each training.
    """

    arranged: float
    permuted: float
    chance: float
    comparison: Comparison
    images: int
    epochs: int

    @property
    def verdict(self) -> Literal["pays", "nothing", "unknown"]:
        """pays: the arrangement raises the accuracy. nothing: it does not, or by less than RELEVANT. unknown: the
        trainings learned nothing, or the validation images are too few to tell.
        """
        if self.comparison.low > 0:
            return "pays"
        learned = max(self.arranged, self.permuted) > self.chance + RELEVANT
        return "nothing" if learned and self.comparison.high < RELEVANT else "unknown"


def evaluate_permuted_pixels(
    architecture: Architecture,
    training: TrainingParams,
    dataset: Dataset,
    train: Split,
    val: Split,
    images: int,
    epochs: int,
    confidence: float,
    seed: int,
) -> PixelPermutationResult:
    """Train the architecture twice, briefly: once on images, once on the same images after one fixed permutation.

    Augmentation, which takes its input for images, is left out of both.

    Args:
        architecture: of the network that is judged.
        training: how it was trained.
        dataset: its mean and std standardise the input.
        train: the training split.
        val: the validation split, which judges both.
        images: training images used at most.
        epochs: of each training.
        confidence: level of the interval of the difference.
        seed: of both trainings, the permutation, and the choice of images.
    """
    from pipeline.backend.predictor import make_predictor
    from pipeline.training.fit import fit

    none = training.augmentation.model_copy(update={"strength": 0.0, "flip": "none"})
    brief = training.model_copy(update={"epochs": epochs, "patience": None, "augmentation": none})
    numbers = np.random.default_rng(seed)
    chosen = np.sort(numbers.permutation(len(train.labels))[:images])
    part = make_split("train", np.asarray(train.images[chosen]), train.labels[chosen])
    order = numbers.permutation(int(np.prod(architecture.input_shape[:-1])))

    trained = progress(range(2 * epochs), "brief trainings, epoch", 2 * epochs)
    next(trained)

    def count(*_: object) -> None:
        next(trained, None)

    def right(one: Split, other: Split) -> NDArray[np.bool_]:
        fitted = fit(architecture, brief, dataset, one, other, seed=seed, on_epoch=count)
        return Predictions(make_predictor(fitted.model(), brief.batch_size)(other.images), other.labels).correct

    arranged, permuted = right(part, val), right(_permuted(part, order), _permuted(val, order))
    chance = float(np.bincount(val.labels).max() / len(val.labels))
    comparison = compare(arranged, permuted, confidence)
    return PixelPermutationResult(
        float(arranged.mean()), float(permuted.mean()), chance, comparison, len(chosen), epochs
    )


def _permuted(split: Split, order: np.ndarray) -> Split:
    images = np.asarray(split.images)
    flat = images.reshape(len(images), -1, images.shape[-1])[:, order]
    return make_split(split.name, flat.reshape(images.shape), split.labels)
