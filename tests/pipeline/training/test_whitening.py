"""The initial filters of the first convolution decorrelate patches of the training images."""

import gc
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.weights import initial_weights, weights_of
from pipeline.data.split import SplitName, make_split
from pipeline.data.training_data import TrainingData
from pipeline.params import Block, Head
from pipeline.training.fit import fit
from pipeline.training.whitening import whitening_filters
from tests.pipeline.training.trainings import figures, training, with_dataset


def architecture(shape: tuple[int, ...], **block: Any) -> Architecture:
    blocks = (Block.model_validate({"filters": 24, "pooling": "none"} | block),)
    return Architecture(input_shape=shape, classes=2, blocks=blocks, head=Head())


def smooth(shape: tuple[int, ...]) -> TrainingData:
    """Random images whose neighbouring values are correlated, and of different scale in each channel."""
    draw = np.random.default_rng(0)

    def split(name: SplitName, count: int) -> Any:
        values = draw.normal(0.0, 1.0, (count, *shape))
        for axis in range(1, len(shape)):
            values = values + np.roll(values, 1, axis)
        return make_split(name, (values * np.arange(1, shape[-1] + 1)).astype(np.float32), np.arange(count) % 2)

    return with_dataset(split("train", 60), split("val", 10))


@pytest.mark.parametrize("shape", [(40, 2), (12, 10, 1), (12, 10, 3), (8, 7, 6, 1)], ids=str)
def test_outputs_on_patches_are_uncorrelated_with_variances_of_about_one(shape: tuple[int, ...]) -> None:
    data = smooth(shape)
    filters = whitening_filters(architecture(shape), data)
    assert filters is not None
    window = (3,) * (len(shape) - 1) + shape[-1:]
    assert filters.shape == (np.prod(window), *window)
    values = (np.asarray(data.train.images) - data.dataset.mean) / data.dataset.std
    views = np.lib.stride_tricks.sliding_window_view(values, window, axis=tuple(range(1, len(shape) + 1)))
    outputs = views.reshape(-1, np.prod(window)) @ filters.reshape(len(filters), -1).T
    covariance = np.cov(outputs.T)
    strong = np.diag(covariance) > 0.5
    assert strong.sum() >= len(filters) // 3
    np.testing.assert_allclose(covariance[np.ix_(strong, strong)], np.diag(np.diag(covariance)[strong]), atol=0.1)
    assert (np.diag(covariance) < 1.2).all()


@pytest.mark.parametrize("filters", [4, 9, 18, 24])
def test_filters_their_negatives_and_random_ones_fill_the_kernel(filters: int) -> None:
    data = smooth((12, 10, 1))
    chosen = architecture((12, 10, 1), filters=filters)
    whitening, weights = whitening_filters(chosen, data), weights_of(chosen)
    kernel = np.moveaxis(initial_weights(weights, 1, whitening)[0], -1, 0)
    random = np.moveaxis(initial_weights(weights, 1)[0], -1, 0)
    assert whitening is not None
    np.testing.assert_array_equal(kernel[:9], whitening[:filters])
    np.testing.assert_array_equal(kernel[9:18], -whitening[: max(0, filters - 9)])
    np.testing.assert_array_equal(kernel[18:], random[18:])


@pytest.mark.parametrize(
    "block",
    [{"convolution": "separable"}, {"kernel_size": 12, "padding": "same"}, {"kernel_size": 1, "strides": 2}],
    ids=["separable", "large", "subsampled"],
)
def test_other_first_layers_are_initialized_at_random(block: dict[str, Any]) -> None:
    shape = (12, 12, 1)
    assert whitening_filters(architecture(shape, **block), smooth(shape)) is None


def test_constant_images_have_finite_filters() -> None:
    images = np.full((20, 6, 6, 1), 7, np.uint8)
    labels = np.arange(20) % 2
    data = with_dataset(make_split("train", images, labels), make_split("val", images, labels))
    filters = whitening_filters(architecture((6, 6, 1)), data)
    assert filters is not None
    assert np.isfinite(filters).all()


def test_a_training_run_starts_from_the_filters() -> None:
    data = figures()
    chosen = architecture((12, 12, 1), pooling="max")
    frozen = {"learning_rate": 1e-30, "optimizer": "sgd", "momentum": 0.0, "epochs": 1}
    kernels = {
        first: fit(chosen, training(first_layer=first, **frozen), data, seed=1).model().get_layer("block1_conv1").kernel
        for first in ("random", "whitening")
    }
    filters = whitening_filters(chosen, data)
    assert filters is not None
    np.testing.assert_array_equal(np.moveaxis(np.asarray(kernels["whitening"]), -1, 0)[:9], filters)
    assert not np.array_equal(kernels["random"], kernels["whitening"])


def test_the_cache_of_filters_does_not_keep_the_images_in_memory() -> None:
    """Each fold of a study is a copy of the images."""
    images = np.random.default_rng(5).integers(0, 256, (800, 12, 12, 1)).astype(np.uint8)
    split = make_split("train", images, np.arange(800) % 2)
    kept = weakref.ref(images)
    data = with_dataset(split, make_split("val", images[:10].copy(), np.arange(10) % 2))
    assert whitening_filters(architecture((12, 12, 1)), data) is not None
    del images, split, data
    gc.collect()
    assert kept() is None


def test_of_large_images_only_as_many_are_read_as_fit_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.training.whitening._MAX_BYTES", 3 * 16 * 16)
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 1), dtype=np.uint8)

    class Watched(np.ndarray):
        most = 0

        def __getitem__(self, chosen: object) -> object:
            read = np.asarray(self)[chosen]  # type: ignore[index]
            Watched.most = max(Watched.most, len(read))
            return read

    split = make_split("train", images, np.arange(40) % 2)
    large = replace(with_dataset(split, split), train=replace(split, images=images.view(Watched)))
    filters = whitening_filters(
        Architecture(input_shape=(16, 16, 1), classes=2, blocks=(Block(filters=4),), head=Head()), large
    )
    assert filters is not None
    assert Watched.most == 3
