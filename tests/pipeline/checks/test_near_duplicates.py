"""Near duplicates: what is found, what is not, and that the search is not quadratic."""

import io
import time

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from pipeline.checks.near_duplicates import candidate_pairs, confirm, neighbour_similarity
from pipeline.checks.thumbnails import descriptors, thumbnails
from tests.pipeline.checks.images import smooth_images


def near(samples: NDArray[np.generic]) -> list[tuple[int, int]]:
    described = descriptors(thumbnails(samples))
    typical = neighbour_similarity(described)
    pairs, _ = confirm(candidate_pairs(described), lambda chosen: samples[chosen], typical, 100)
    return [(one, two) for one, two in pairs.tolist()]


def as_jpeg(image: NDArray[np.generic], quality: int) -> NDArray[np.generic]:
    stream = io.BytesIO()
    Image.fromarray(image[..., 0]).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))[..., np.newaxis]


CHANGES = {
    "jpeg": lambda image: as_jpeg(image, 85),
    "brightness": lambda image: np.clip(image * 0.8 + 20, 0, 255).astype(np.uint8),
    "noise": lambda image: np.clip(image + np.random.default_rng(3).normal(0, 3, image.shape), 0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("count", [60, 3000])
def test_changed_copies_are_found_among_independent_images(change: str, count: int) -> None:
    images = smooth_images(count)
    copies = np.stack([CHANGES[change](image) for image in images[: count // 3 : 5]])
    expected = [(5 * place, count + place) for place in range(len(copies))]
    found = near(np.concatenate([images, copies]))
    assert set(found) <= set(expected)
    assert len(found) >= 0.98 * len(expected)


def test_copies_are_found_even_if_each_sample_has_several() -> None:
    images = smooth_images(60)
    copies = [np.stack([change(image) for image in images]) for change in CHANGES.values()]
    found = near(np.concatenate([images, *copies]))
    assert {(one % 60, two % 60) for one, two in found} == {(place, place) for place in range(60)}
    assert len(found) >= 0.98 * 6 * 60


@pytest.mark.parametrize("grid", [(200,), (600,), (40, 48), (10, 12, 9), (20, 20, 20)])
def test_copies_are_found_on_grids_of_one_to_three_axes(grid: tuple[int, ...]) -> None:
    samples = smooth_images(80, grid, channels=2).astype(np.float32)
    assert near(np.concatenate([samples, samples[3:6] * 2 + 7])) == [(3, 80), (4, 81), (5, 82)]


def test_handwritten_digits_of_different_people_are_not_near_duplicates() -> None:
    assert near(load_digits().images[..., np.newaxis].astype(np.uint8)) == []


def test_changed_copies_of_tiny_images_are_found() -> None:
    digits = load_digits().images[..., np.newaxis] * 15
    copies = digits[:200:10] * 0.9 + np.random.default_rng(0).normal(0, 3, (20, 8, 8, 1))
    assert near(np.concatenate([digits, copies])) == [(10 * place, 1797 + place) for place in range(20)]


def test_a_shifted_image_is_another_image() -> None:
    images = smooth_images(60)
    assert near(np.concatenate([images, np.roll(images[:9], 2, axis=2)])) == []


def test_the_same_content_in_another_colour_is_another_image() -> None:
    grey = smooth_images(60)
    red = grey * np.array([1.0, 0.2, 0.2])
    blue = grey[:5] * np.array([0.2, 0.2, 1.0])
    assert near(np.concatenate([red, blue]).astype(np.uint8)) == []


def test_samples_on_a_tiny_grid_are_not_compared() -> None:
    assert near(smooth_images(50, (3, 3))) == []


def test_the_time_grows_about_in_proportion_to_the_number_of_samples() -> None:
    """Even if many samples are alike: comparing each pair would take a hundred times as long for ten times as many."""
    generator = np.random.default_rng(0)
    kinds = generator.normal(size=(20, 63))

    def seconds(count: int) -> float:
        values = kinds[generator.integers(0, 20, count)] + 0.3 * generator.normal(size=(count, 63))
        start = time.process_time()
        candidate_pairs((values * 1000).astype(np.int16))
        return time.process_time() - start

    seconds(3000)
    assert seconds(30_000) < 40 * max(0.02, min(seconds(3000) for _ in range(3)))
