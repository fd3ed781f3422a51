"""Folds: every image validates once, and no fold trains on an image that it validates on."""

import numpy as np
import pytest

from pipeline.data.folds import fold
from pipeline.data.split import make_split
from pipeline.data.training_data import TrainingData
from tests.pipeline.training.trainings import with_dataset

CLASSES = ("a", "b", "c")


def numbered(train: int, val: int) -> TrainingData:
    """Data whose images are their own numbers, so that a test can follow them."""
    images = np.arange(train + val, dtype=np.float32).reshape(-1, 1, 1, 1)
    labels = np.arange(train + val) % len(CLASSES)
    return with_dataset(
        make_split("train", images[:train], labels[:train]), make_split("val", images[train:], labels[train:]), CLASSES
    )


def images_of(data: TrainingData) -> tuple[set[int], set[int]]:
    return set(data.train.images.ravel().astype(int)), set(data.val.images.ravel().astype(int))


def test_fold_0_is_the_original_division() -> None:
    data = numbered(90, 30)
    assert fold(data, 0) is data


def test_each_image_validates_once_and_is_trained_on_otherwise() -> None:
    data = numbered(90, 30)
    folds = [fold(data, number) for number in range(4)]
    assert sorted(image for each in folds for image in images_of(each)[1]) == list(range(120))
    for each in folds:
        trained, validated = images_of(each)
        assert (len(each.train.labels), len(each.val.labels)) == (90, 30)
        assert trained | validated == set(range(120))
        np.testing.assert_array_equal(each.train.labels, each.train.images.ravel() % len(CLASSES))
        np.testing.assert_array_equal(each.val.labels, each.val.images.ravel() % len(CLASSES))


def test_the_classes_have_the_same_shares_in_each_fold() -> None:
    for number in range(1, 7):
        assert np.bincount(fold(numbered(90, 30), number).val.labels).tolist() == [10, 10, 10]


def test_further_folds_divide_the_images_again_in_another_order() -> None:
    data = numbered(90, 30)
    first, second = ([images_of(fold(data, number))[1] for number in numbers] for numbers in ((1, 2, 3), (4, 5, 6)))
    assert set.union(*first) == set.union(*second) == set(range(90))
    assert not any(each in first for each in second)


@pytest.mark.parametrize(("train", "val"), [(10, 10), (7, 20), (100, 7), (3, 2)])
def test_the_splits_may_have_any_sizes(train: int, val: int) -> None:
    for number in range(1, 4):
        trained, validated = images_of(fold(numbered(train, val), number))
        assert validated
        assert not trained & validated
        assert trained | validated == set(range(train + val))


def test_folds_are_the_same_each_time_and_have_digests_of_their_own() -> None:
    data, again = numbered(90, 30), numbered(90, 30)
    folds = [fold(data, number) for number in range(7)]
    assert [images_of(each) for each in folds] == [images_of(fold(again, number)) for number in range(7)]
    digests = [{each.train.digest, each.val.digest} for each in folds]
    assert digests == [{each.train.digest, each.val.digest} for each in (fold(again, number) for number in range(7))]
    assert len(set.union(*digests)) == 14
