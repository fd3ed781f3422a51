"""Shift, rotation, zoom and flip are one resampling about the center of the image."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest
import tensorflow as tf

from pipeline.data.dataset import Kind
from pipeline.params import AugmentationParams
from pipeline.trainers.augment_tensorflow import augment
from pipeline.trainers.random_tensorflow import Random
from tests.pipeline.training.trainings import NO_AUGMENTATION

IMAGES = np.random.default_rng(1).random((3, 5, 7, 2)).astype(np.float32)
# Numbers in the middle of their range leave an image unchanged; order: angle, scale, down, right, flips.
MIDDLE = (0.5, 0.5, 0.5, 0.5, 0.9, 0.9)


class Fixed:
    """Random numbers that are the same for all images."""

    def __init__(self, *values: float) -> None:
        self._values = values

    def uniform(self, shape: Sequence[int]) -> Any:
        return tf.broadcast_to(tf.constant(self._values, tf.float32)[:, None], shape)


def augmented(drawn: Sequence[float], images: np.ndarray = IMAGES, kind: Kind = "image", **changes: Any) -> np.ndarray:
    params = AugmentationParams.model_validate(NO_AUGMENTATION | changes)
    return np.asarray(augment(tf.constant(images), params, cast(Random, Fixed(*drawn)), kind))


def drawn(place: int, value: float) -> tuple[float, ...]:
    return (*MIDDLE[:place], value, *MIDDLE[place + 1 :])


@pytest.mark.parametrize("changes", [{"shift": 0.2}, {"rotate": 30.0}, {"zoom": 0.3}])
def test_the_middle_of_each_range_leaves_images_unchanged(changes: dict[str, float]) -> None:
    np.testing.assert_allclose(augmented(MIDDLE, **changes), IMAGES, atol=1e-5)


def test_a_shift_moves_the_image_and_repeats_the_edge() -> None:
    up = augmented(drawn(2, 0.0), shift=0.2)  # by 0.2 × 5 rows
    np.testing.assert_allclose(up[:, :-1], IMAGES[:, 1:], atol=1e-5)
    np.testing.assert_allclose(up[:, -1], IMAGES[:, -1], atol=1e-5)
    right = augmented(drawn(3, 1.0), shift=1 / 7)
    np.testing.assert_allclose(right[:, :, 1:], IMAGES[:, :, :-1], atol=1e-4)


def test_a_rotation_turns_about_the_center() -> None:
    square = IMAGES[:, :, 1:6]
    turned = augmented(drawn(0, 1.0), square, rotate=90.0)
    expected = [np.rot90(square, turns, axes=(1, 2)) for turns in (1, 3)]
    assert any(np.allclose(turned, each, atol=1e-4) for each in expected)


def test_a_zoom_keeps_the_center_and_its_extent() -> None:
    ramp = np.broadcast_to(np.arange(7, dtype=np.float32)[None, None, :, None], (1, 5, 7, 1))
    larger = augmented(drawn(1, 1.0), ramp, zoom=0.5)  # 1.5 times as large
    np.testing.assert_allclose(larger[0, 2, :, 0], 3 + (np.arange(7) - 3) / 1.5, atol=1e-4)


@pytest.mark.parametrize(("flip", "axes"), [("horizontal", [2]), ("vertical", [1]), ("both", [1, 2])])
@pytest.mark.parametrize("changes", [{}, {"shift": 0.2}], ids=["alone", "resampled"])
def test_a_flip_reverses_its_axes(flip: str, axes: list[int], changes: dict[str, float]) -> None:
    values = (0.5, 0.5, 0.5, 0.5, 0.1, 0.1) if changes else (0.1, 0.1)
    np.testing.assert_allclose(augmented(values, flip=flip, **changes), np.flip(IMAGES, axes), atol=1e-4)


def test_noise_has_the_given_standard_deviation_and_mean_zero() -> None:
    images = tf.zeros([64, 16, 16, 1])
    params = AugmentationParams.model_validate(NO_AUGMENTATION | {"noise": 0.3})
    noise = np.asarray(augment(images, params, Random(tf.constant(1, tf.int64), tf.constant(2, tf.int64))))
    assert np.isfinite(noise).all()
    assert noise.mean() == pytest.approx(0.0, abs=0.01)
    assert noise.std() == pytest.approx(0.3, rel=0.02)
    assert len({image.tobytes() for image in noise}) == 64


def test_each_call_and_each_step_draw_other_numbers() -> None:
    def draws(seed: int, step: int) -> list[bytes]:
        random = Random(tf.constant(seed, tf.int64), tf.constant(step, tf.int64))
        return [random.uniform([50]).numpy().tobytes(), random.uniform([50]).numpy().tobytes()]

    every = [*draws(1, 0), *draws(1, 1), *draws(2, 0)]
    assert len(set(every)) == 6
    assert draws(1, 0) == every[:2]


def test_random_bytes_are_uniform() -> None:
    values = Random(tf.constant(1, tf.int64), tf.constant(0, tf.int64)).bytes([256, 401]).numpy()
    assert values.shape == (256, 401)
    counts = np.bincount(values.ravel(), minlength=256)
    assert np.sum((counts - 401) ** 2 / 401) < 360  # the 99.999th percentile of chi-square with 255 degrees is 361


def test_a_series_is_shifted_and_reversed_in_time_and_stretched_about_its_middle() -> None:
    series = IMAGES[:, 0]  # (3, 7, 2)
    later = augmented(drawn(3, 1.0), series, "series", shift=1 / 7)
    np.testing.assert_allclose(later[:, 1:], series[:, :-1], atol=1e-4)
    np.testing.assert_allclose(augmented((0.1, 0.1), series, "series", flip="horizontal"), series[:, ::-1])
    ramp = np.arange(7, dtype=np.float32)[None, :, None]
    stretched = augmented(drawn(1, 1.0), ramp, "series", zoom=0.5)
    np.testing.assert_allclose(stretched[0, :, 0], 3 + (np.arange(7) - 3) / 1.5, atol=1e-4)


def test_a_spectrogram_is_shifted_in_time_only() -> None:
    spectrograms = IMAGES[..., :1]  # (3, 5 time steps, 7 bands, 1)
    for down in (0.0, 1.0):
        moved = augmented((0.5, 0.5, down, 1.0, 0.9, 0.9), spectrograms, "audio", shift=0.2)
        np.testing.assert_allclose(moved[:, 1:], spectrograms[:, :-1], atol=1e-4)


def test_each_slice_of_a_volume_is_transformed_in_the_same_way() -> None:
    volumes = np.random.default_rng(1).random((2, 3, 5, 5, 2)).astype(np.float32)
    turned = augmented(drawn(0, 1.0), volumes, "volume", rotate=90.0)
    expected = [np.rot90(volumes, turns, axes=(2, 3)) for turns in (1, 3)]
    assert any(np.allclose(turned, each, atol=1e-4) for each in expected)
    np.testing.assert_allclose(augmented((0.1, 0.1), volumes, "volume", flip="vertical"), volumes[:, :, ::-1])
