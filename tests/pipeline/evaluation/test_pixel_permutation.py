"""The pixel permutation test on data with a known outcome."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.cnn.architecture import Architecture
from pipeline.data.dataset import Dataset
from pipeline.data.split import Split, make_split
from pipeline.data.training_data import TrainingData
from pipeline.evaluation.comparison import compare
from pipeline.evaluation.pixel_permutation import PixelPermutationResult, evaluate_permuted_pixels
from pipeline.params import Block, Head
from pipeline.report.builder import ReportBuilder
from pipeline.report.pixel_permutation import add_pixel_permutation_result
from tests.pipeline.training.trainings import training

# It uses nothing but local neighbourhoods.
ARCHITECTURE = Architecture(
    input_shape=(8, 8, 1),
    classes=2,
    blocks=(Block(filters=8, kernel_size=3, pooling="none"),),
    head=Head(kind="global_max"),
)
DATASET = Dataset(
    name="lines", input_shape=(8, 8, 1), dtype="uint8", classes=("a", "b"), counts={}, mean=(60.0,), std=(80.0,),
    digests={}, duplicates={}, skipped=(),
)  # fmt: skip


def lines(name: str, n: int, seed: int) -> Split:
    """A line of three bright pixels at a random place; only neighbours show whether it is vertical or horizontal."""
    numbers, labels = np.random.default_rng(seed), np.arange(n) % 2
    images = np.zeros((n, 8, 8, 1), np.uint8)
    for image, label, (row, column) in zip(images, labels, numbers.integers(1, 7, (n, 2)), strict=True):
        for step in (-1, 0, 1):
            image[row + step * label, column + step * (1 - label)] = 255
    return make_split(name, images, labels)  # type: ignore[arg-type]


def lights(name: str, n: int, seed: int) -> Split:
    """Images that are dark or bright overall; the arrangement of pixels adds no information."""
    numbers, labels = np.random.default_rng(seed), np.arange(n) % 2
    images = numbers.integers(0, 100, (n, 8, 8, 1)) + 150 * labels[:, None, None, None]
    return make_split(name, images.astype(np.uint8), labels)  # type: ignore[arg-type]


def evaluate(source: object) -> PixelPermutationResult:
    make = lines if source == "lines" else lights
    settings = training(learning_rate=0.01, batch_size=32)
    return evaluate_permuted_pixels(
        ARCHITECTURE,
        settings,
        TrainingData(DATASET, make("train", 600, 0), make("val", 200, 1)),
        images=400,
        epochs=8,
        confidence=0.95,
        seed=0,
    )


@pytest.mark.slow
def test_the_arrangement_pays_if_only_neighbours_distinguish_the_classes() -> None:
    result = evaluate("lines")
    assert result.arranged > 0.9
    assert result.comparison.low > 0.1
    assert result.verdict == "benefit"
    assert (result.images, result.epochs, result.chance) == (400, 8, 0.5)


@pytest.mark.slow
def test_the_arrangement_adds_nothing_if_brightness_distinguishes_the_classes() -> None:
    result = evaluate("lights")
    assert result.arranged == result.permuted == 1.0
    assert result.verdict == "no_benefit"


def test_weights_of_the_images_count_in_both_trainings() -> None:
    train, val = lights("train", 64, 0), lights("val", 20, 1)
    weights = np.where(train.labels == 0, 1e-6, 1.0).astype(np.float32)
    weighted = make_split("train", train.images, train.labels, weights=weights)
    settings = training(learning_rate=0.1, batch_size=32)
    result = evaluate_permuted_pixels(
        ARCHITECTURE, settings, TrainingData(DATASET, weighted, val), images=48, epochs=4, confidence=0.95, seed=0
    )
    assert (result.arranged, result.permuted) == (0.5, 0.5), "only the second class is learned"


def result_of(only_arranged: int, only_permuted: int, both: int, neither: int) -> PixelPermutationResult:
    """Build a result from counts of validation images of two balanced classes."""
    arranged = np.repeat([True, False, True, False], [only_arranged, only_permuted, both, neither])
    permuted = np.repeat([False, True, True, False], [only_arranged, only_permuted, both, neither])
    comparison = compare(arranged, permuted, 0.95)
    return PixelPermutationResult(float(arranged.mean()), float(permuted.mean()), 0.5, comparison, images=400, epochs=8)


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ((200, 20, 700, 80), "benefit"),
        ((25, 5, 170, 16), "benefit"),  # 0.09 of 216 images
        ((10, 9, 900, 81), "no_benefit"),
        ((5, 40, 900, 55), "no_benefit"),  # better without
        ((3, 2, 20, 5), "inconclusive"),  # too few images
        ((20, 20, 490, 470), "inconclusive"),  # neither learned
    ],
)
def test_the_report_warns_only_if_the_arrangement_adds_nothing(
    counts: tuple[int, int, int, int], verdict: str, tmp_path: Path
) -> None:
    report, result = ReportBuilder(tmp_path), result_of(*counts)
    add_pixel_permutation_result(report, result, 0.95)
    assert result.verdict == verdict
    assert report.metrics == {"pixel_permutation_drop": pytest.approx(result.arranged - result.permuted)}
    assert any(sentence.startswith("Warning: the arrangement") for sentence in report.verdicts) == (
        verdict == "no_benefit"
    )
