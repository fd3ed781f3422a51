"""Effects and reproducibility of the corruptions."""

import numpy as np
import pytest

from pipeline.corruptions.corruption import SEVERITIES
from pipeline.corruptions.corruptions import CORRUPTIONS, corrupt, corruptions_of
from pipeline.data.dataset import Kind
from pipeline.evaluation.robustness import (
    CorruptionResult,
    bounds_of,
    evaluate_corruptions,
    robustness,
    robustness_interval,
)
from pipeline.sections.gate_rules import CORRUPTIONS as NAMES

BYTES = (0.0, 255.0)
GRIDS: dict[str, tuple[Kind, tuple[int, ...]]] = {
    "series": ("series", (24, 2)), "grey": ("image", (20, 18, 1)), "rgb": ("image", (16, 16, 3)),
    "spectrogram": ("audio", (30, 12, 1)), "volume": ("volume", (8, 9, 10, 1)), "pixel": ("image", (1, 1, 1)),
}  # fmt: skip
CASES = [(grid, name) for grid, (kind, _) in GRIDS.items() for name in CORRUPTIONS[kind]]
DETERMINISTIC = ("shrink", "grow", "blur", "contrast")


def smooth(shape: tuple[int, ...], n: int = 12) -> np.ndarray:
    """Structured images: a brightness gradient with a bright box at a random place."""
    numbers = np.random.default_rng(0)
    images = np.zeros((n, *shape))
    for image in images:
        image += np.linspace(20, 120, shape[0]).reshape(-1, *(1 for _ in shape[1:]))
        box = tuple(
            slice(first, first + max(1, side // 3)) for side in shape[:-1] for first in [numbers.integers(0, side)]
        )
        image[box] = 230
    return images.astype(np.uint8)


def test_params_list_the_implemented_corruptions() -> None:
    assert {name for of_kind in CORRUPTIONS.values() for name in of_kind} == set(NAMES)
    assert all(len(each.amounts) == len(SEVERITIES) for of_kind in CORRUPTIONS.values() for each in of_kind.values())


def test_amounts_of_signals_are_not_shares_of_a_side() -> None:
    units = {each.unit for kind in ("series", "audio") for each in CORRUPTIONS[kind].values()}
    assert "of the duration" in units
    assert not any("side" in unit for unit in units)


@pytest.mark.parametrize(("grid", "name"), CASES)
def test_a_corruption_keeps_shape_and_bounds_and_is_determined_by_the_seed(name: str, grid: str) -> None:
    kind, shape = GRIDS[grid]
    images = smooth(shape)
    for severity in SEVERITIES:
        corrupted = corrupt(images, name, severity, 7, BYTES, kind)
        assert corrupted.shape == images.shape
        assert corrupted.dtype == np.float32
        if (kind, name) not in (("series", "noise"), ("series", "gain")):  # which have no bounds
            assert corrupted.min() >= 0
            assert corrupted.max() <= 255
        assert np.array_equal(corrupt(images, name, severity, 7, BYTES, kind), corrupted)
    if grid in ("grey", "rgb"):
        other = corrupt(images, name, 5, 8, BYTES)
        assert np.array_equal(other, corrupted) == (name in DETERMINISTIC)


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in ("image", "series", "audio") for name in CORRUPTIONS[kind]]
)
def test_each_severity_distorts_more_than_the_previous_one(kind: Kind, name: str) -> None:
    images = smooth({"image": (28, 28, 1), "series": (100, 1), "audio": (40, 20, 1)}[kind], n=60)
    distances = [np.abs(corrupt(images, name, severity, 1, BYTES, kind) - images).mean() for severity in SEVERITIES]
    assert distances == sorted(distances)
    assert distances[0] > 0.1


def test_corruptions_of_other_kinds_are_left_out() -> None:
    assert corruptions_of("series", ("rotation", "noise", "brightness", "stretch")) == ("noise", "stretch")
    assert corruptions_of("volume", ("rotation", "noise", "time_shift")) == ("rotation",)


def test_a_spectrogram_keeps_its_bands_when_it_is_moved_or_stretched_in_time() -> None:
    bands = np.broadcast_to(np.arange(12.0)[:, None] * 20, (2, 30, 12, 1))
    for name in ("time_shift", "stretch"):
        assert np.allclose(corrupt(bands, name, 5, 0, BYTES, "audio"), bands, atol=1e-3)


def test_noise_covers_only_what_is_quieter() -> None:
    spectrogram = np.zeros((1, 50, 40, 1))
    spectrogram[:, :, 20] = 250.0
    noisy = corrupt(spectrogram, "noise", 5, 0, BYTES, "audio")  # a level of 0.7 of 255
    assert np.array_equal(noisy[:, :, 20], spectrogram[:, :, 20].astype(np.float32))
    assert np.delete(noisy, 20, axis=2).mean() == pytest.approx(0.7 * 255, rel=0.02)


def test_a_large_volume_is_corrupted_in_parts_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    volumes = smooth((8, 9, 10, 1), n=2)
    whole = corrupt(volumes, "rotation", 3, 0, BYTES, "volume")
    monkeypatch.setattr("pipeline.corruptions.resampling._MAX_POSITIONS", 400)
    assert np.array_equal(corrupt(volumes, "rotation", 3, 0, BYTES, "volume"), whole)


def test_the_displacements_of_a_large_grid_are_smooth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.corruptions.image_corruptions._MAX_FIELD", 100)
    monkeypatch.setattr("pipeline.corruptions.image_corruptions._COARSE", 6)
    images = np.broadcast_to(np.linspace(0, 255, 40)[:, None], (1, 40, 40, 1))
    moved = corrupt(images, "elastic", 5, 0, BYTES)
    assert 1 < np.abs(moved - images).mean() < 40
    assert np.abs(np.diff(moved, axis=2)).max() < 30


def test_a_shift_is_a_fraction_of_the_image_side() -> None:
    images = np.zeros((40, 25, 25, 1), np.uint8)
    images[:, 12, 12] = 255
    moved = corrupt(images, "shift", 2, 0, BYTES)  # 0.08 of 25: 2 pixels
    places = {tuple(np.unravel_index(image.argmax(), (25, 25))) for image in moved[..., 0]}
    assert places == {(10, 10), (10, 14), (14, 10), (14, 14)}
    assert np.allclose(moved.max(axis=(1, 2, 3)), 255, atol=0.1)


def test_shrinking_keeps_the_centre_and_halves_the_extent() -> None:
    images = np.zeros((1, 21, 21, 1), np.uint8)
    images[0, 2:19, 2:19] = 200
    shrunk = corrupt(images, "shrink", 5, 0, BYTES)[0, ..., 0]
    assert shrunk[10, 10] == pytest.approx(200)
    assert (shrunk > 100).sum(axis=0).max() in (8, 9)


def test_rotation_keeps_the_centre_and_goes_in_both_directions() -> None:
    images = np.zeros((30, 21, 21, 1), np.uint8)
    images[:, :, 10] = 255  # a vertical bar
    turned = corrupt(images, "rotation", 5, 0, BYTES)[..., 0]  # 45 degrees
    assert np.allclose(turned[:, 10, 10], 255, atol=0.1)
    falling = turned[:, 4, 4] > 100
    assert np.array_equal(falling, turned[:, 4, 16] < 100)
    assert 0 < falling.sum() < 30


def test_less_contrast_moves_values_towards_the_mean() -> None:
    images = np.array([0, 200], np.uint8).reshape(1, 2, 1, 1)
    assert corrupt(images, "contrast", 2, 0, BYTES).ravel().tolist() == pytest.approx([50, 150])


def test_float_images_are_clipped_to_the_range_of_their_values() -> None:
    images = np.random.default_rng(0).normal(size=(5, 9, 9, 1)).astype(np.float32)
    low, high = bounds_of(images)
    noisy = corrupt(images, "gaussian_noise", 5, 0, (low, high))
    assert (noisy.min(), noisy.max()) == (pytest.approx(low), pytest.approx(high))


def bright(images: np.ndarray) -> np.ndarray:
    """Probabilities of the classes dark and bright."""
    share = images.mean(axis=(1, 2, 3)) / 255
    return np.stack([1 - share, share], axis=1)


def test_robustness_is_the_mean_accuracy_relative_to_the_clean_accuracy() -> None:
    images = np.zeros((10, 8, 8, 1), np.uint8)
    images[5:] = 255
    labels = np.repeat([0, 1], 5)

    results = evaluate_corruptions(bright, images, labels, ("contrast", "brightness"), seed=0)
    assert [(each.corruption, each.severity) for each in results] == [
        (name, severity) for name in ("contrast", "brightness") for severity in SEVERITIES
    ]
    assert all(each.accuracy == 1.0 for each in results[:9])
    mean = np.mean([each.accuracy for each in results])
    assert robustness(results, clean=1.0, clean_low=0.7, chance=0.5) == pytest.approx((mean - 0.5) / 0.5)


def test_robustness_is_relative_to_chance() -> None:
    half, guessing = (
        tuple(CorruptionResult("blur", 1, 1.0, "", np.arange(100), np.arange(100) < hits) for _ in SEVERITIES)
        for hits in (70, 52)
    )
    assert robustness(half, clean=0.9, clean_low=0.8, chance=0.5) == pytest.approx(0.5)
    assert robustness(guessing, clean=0.5, clean_low=0.4, chance=0.5) is None  # guessing has nothing to retain
    assert robustness(guessing, clean=0.9, clean_low=0.8, chance=0.6) == 0.0
    assert robustness(half, clean=0.65, clean_low=0.6, chance=0.5) == 1.0


def test_the_robustness_interval_narrows_with_more_images_and_contains_the_value() -> None:
    widths = []
    for images in (100, 1600):
        clean = np.arange(images) % 10 > 0
        places = np.arange(images)
        results = [CorruptionResult("blur", each, 1.0, "", places, clean & (places % 5 != 1)) for each in SEVERITIES]
        low, high = robustness_interval(results, clean, 0.5, confidence=0.95, resamples=2000, seed=1)
        value = robustness(results, clean=clean.mean(), clean_low=0.8, chance=0.5)
        assert value is not None
        assert 0 < low < value < high < 1
        widths.append(high - low)
    assert 3.5 < widths[0] / widths[1] < 4.5  # sixteen times as many images


def test_of_many_images_a_random_sample_is_corrupted() -> None:
    labels = np.arange(10_200) % 2
    images = np.where(labels == 1, 200, 50).astype(np.uint8).reshape(-1, 1, 1, 1) * np.ones((1, 2, 2, 1), np.uint8)
    one, again = (evaluate_corruptions(bright, images, labels, ("contrast",), seed=3) for _ in range(2))
    (places,) = {each.places.tobytes() for each in (*one, *again)}
    found = np.frombuffer(places, np.int64)
    assert len(found) == len(one[0].correct) == 10_000
    assert (np.diff(found) > 0).all()
    assert found[-1] > 10_000  # not the first ones
    assert one[0].accuracy == np.mean(bright(images).argmax(axis=1) == labels)
