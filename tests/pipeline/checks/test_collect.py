"""What is collected of the samples, in one pass and in bounded memory."""

import tracemalloc

import numpy as np
import pytest

from pipeline.checks.collect import Collector
from pipeline.checks.findings import findings
from pipeline.checks.statistics import statistics
from pipeline.checks.thumbnails import descriptors, detail, thumbnails
from tests.pipeline.checks.images import digests, measured, smooth_images, split_up


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_results_do_not_depend_on_the_size_of_the_blocks(dtype: type) -> None:
    images = smooth_images(700, (20, 40), channels=3).astype(dtype)
    images[500:520] = images[:20]
    whole, pieces = measured(split_up(images)), measured(split_up(images), block=7)
    assert findings(whole) == findings(pieces)
    for split in ("train", "val", "test"):
        one, two = whole.collected.splits[split], pieces.collected.splits[split]
        assert (one.digests == two.digests).all()
        assert (one.descriptors == two.descriptors).all()
        assert (one.statistics == two.statistics).all()


def test_the_memory_does_not_grow_with_the_size_of_the_samples() -> None:
    block = smooth_images(4, (300, 300), channels=3)

    def kept(blocks: int) -> int:
        collector = Collector(block.shape[1:])
        tracemalloc.start()
        for _ in range(blocks):
            collector.add("val", block, np.zeros(4, np.int64), digests(block))
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return size

    kept(2)
    assert (kept(40) - kept(20)) / 80 < 2000  # bytes per sample of 270,000 bytes


def test_class_means_are_those_of_the_training_split() -> None:
    images = smooth_images(80)
    means = measured(split_up(images)).collected.class_means
    assert np.allclose(means[1], images[1:40:2].mean(axis=0), atol=1e-3)


def test_values_that_are_not_finite_or_huge_do_not_stop_the_checks() -> None:
    images = smooth_images(80).astype(np.float32)
    images[3, 0, 0, 0], images[5, 1, 1, 0] = np.nan, np.inf
    images[6] = np.where(images[6] > 100, 3e38, -3e38)
    found = measured(split_up(images))
    assert np.isfinite(found.collected.splits["train"].statistics).all()


def test_thumbnails_average_and_keep_small_axes() -> None:
    image = np.arange(64 * 8, dtype=np.float32).reshape(1, 64, 8, 1)
    small = thumbnails(image)
    assert small.shape == (1, 32, 8, 1)
    assert small[0, 0, 0, 0] == (0 + 8) / 2
    assert thumbnails(np.ones((2, 1000, 3), np.uint8)).shape == (2, 256, 3)
    assert thumbnails(np.full((1, 33, 17, 40, 1), 7, np.uint8)).shape == (1, 16, 16, 16, 1)
    assert (thumbnails(np.full((1, 33, 17, 40, 1), 7, np.uint8)) == 7).all()


def test_descriptors_ignore_brightness_and_contrast() -> None:
    images = smooth_images(20).astype(np.float32)
    assert np.abs(descriptors(thumbnails(images * 3 + 50)) - descriptors(thumbnails(images))).max() <= 20
    assert (descriptors(np.full((1, 8, 8, 1), 5, np.float32)) == 0).all()


def test_detail_is_what_the_neighbourhood_does_not_have() -> None:
    image = np.zeros((1, 5, 5, 1), np.float32)
    image[0, 2, 2, 0] = 9
    assert detail(image)[0, 2, 2, 0] == 8
    assert detail(image)[0, 1, 1, 0] == -1
    assert (detail(np.full((1, 6, 3), 4, np.float32)) == 0).all()


def test_statistics_are_mean_contrast_and_roughness() -> None:
    board = np.indices((4, 4)).sum(axis=0).reshape(1, 4, 4, 1) % 2 * np.uint8(10)
    assert statistics(board, thumbnails(board)).tolist() == [[5.0, 5.0, 2.0]]
    series = np.array([[[0.0], [1.0], [2.0], [3.0]]], np.float32)
    assert statistics(series, thumbnails(series))[0] == pytest.approx([1.5, np.sqrt(1.25), 1 / np.sqrt(1.25)])
    flat = np.full((1, 4, 4, 1), 3, np.uint8)
    assert statistics(flat, thumbnails(flat)).tolist() == [[3.0, 0.0, 0.0]]
