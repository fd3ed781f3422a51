"""The correlation of neighbours tells a grid from a table."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine, make_classification

from pipeline.checks.grid import MIN_SAMPLES, NeighbourCorrelation, NeighbourSampler
from tests.pipeline.checks.images import smooth_images


def correlation(samples: NDArray[np.generic], block: int = 10_000) -> NeighbourCorrelation | None:
    sampler = NeighbourSampler(samples.shape[1:])
    keys = np.random.default_rng(0).permutation(len(samples)).astype(np.uint64)
    for start in range(0, len(samples), block):
        sampler.add(samples[start : start + block], keys[start : start + block])
    return sampler.result()


@pytest.mark.parametrize("grid", [(100,), (28, 28), (9, 10, 8)])
def test_smooth_samples_are_grids(grid: tuple[int, ...]) -> None:
    found = correlation(smooth_images(300, grid, channels=2))
    assert found is not None
    assert found.related == (True,) * len(grid)


def test_handwritten_digits_are_a_grid_until_their_pixels_are_permuted() -> None:
    pixels = load_digits().data
    order = np.random.default_rng(0).permutation(64)
    for values, expected in ((pixels, True), (pixels[:, order], False)):
        found = correlation(values.reshape(-1, 8, 8, 1))
        assert found is not None
        assert found.is_grid is expected


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine, load_diabetes], ids=lambda load: load.__name__[5:])
def test_the_columns_of_real_tables_are_not_a_grid(load: object) -> None:
    found = correlation(load().data[..., np.newaxis])  # type: ignore[operator]
    assert found is not None
    assert not found.is_grid


def test_the_columns_of_a_generated_table_are_not_a_grid() -> None:
    found = correlation(make_classification(1500, 40, n_informative=10, random_state=0)[0][..., np.newaxis])
    assert found is not None
    assert not found.is_grid


def test_one_axis_with_an_order_suffices() -> None:
    """Sensors in any order, each with values over time."""
    found = correlation(smooth_images(4000, (60,))[..., 0].reshape(400, 10, 60, 1))
    assert found is not None
    assert found.related == (False, True)
    assert found.is_grid


def test_the_result_does_not_depend_on_the_size_of_the_blocks() -> None:
    samples = smooth_images(5000, (12,))
    assert correlation(samples) == correlation(samples, block=17)


def test_few_or_constant_samples_or_positions_are_not_measured() -> None:
    assert correlation(smooth_images(MIN_SAMPLES - 1, (12, 12))) is None
    assert correlation(np.zeros((100, 8, 8, 1), np.uint8)) is None
    assert correlation(smooth_images(100)[:, :1, :1]) is None
    assert correlation(smooth_images(100, (2,))) is None


def test_an_axis_of_extent_1_does_not_count() -> None:
    found = correlation(smooth_images(300, (40, 1)))
    assert found is not None
    assert found.related == (True, False)


@pytest.mark.parametrize("kind", ["curves", "random walks"])
def test_series_whose_level_varies_more_than_their_shape_are_grids(kind: str) -> None:
    draw, time = np.random.default_rng(0), np.arange(24)
    curves = 15 + 10 * draw.normal(size=(400, 1)) + 3 * np.sin(time / 24 * 2 * np.pi + draw.normal(size=(400, 1)) / 2)
    walks = draw.normal(size=(400, 200)).cumsum(axis=1)[:, -10:]
    found = correlation((curves + 0.2 * draw.normal(size=curves.shape) if kind == "curves" else walks)[..., None])
    assert found is not None
    assert found.random > 0.95
    assert found.is_grid


def test_columns_of_a_table_with_a_common_factor_are_no_grid() -> None:
    draw = np.random.default_rng(0)
    values = draw.normal(size=(800, 1)) * draw.uniform(1, 3, 30) + 0.3 * draw.normal(size=(800, 30))
    found = correlation(values[..., None])
    assert found is not None
    assert found.random > 0.95
    assert not found.is_grid
