"""Folds: every image validates once, and no fold trains on an image that it validates on."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.data.split import make_split
from pipeline.data.training_data import TrainingData
from search.study.folds import fold
from tests.pipeline.training.trainings import with_dataset

CLASSES = ("a", "b", "c")


def numbered(train: int, val: int, labels: NDArray[np.int64] | None = None) -> TrainingData:
    """Data whose images are their own numbers, so that a test can follow them."""
    images = np.arange(train + val, dtype=np.float32).reshape(-1, 1, 1, 1)
    labels = np.arange(train + val) % len(CLASSES) if labels is None else labels
    return with_dataset(
        make_split("train", images[:train], labels[:train]), make_split("val", images[train:], labels[train:]), CLASSES
    )


def images_of(data: TrainingData) -> tuple[list[int], list[int]]:
    train, val = (split.images[:].ravel().astype(int).tolist() for split in (data.train, data.val))
    return train, val


def test_fold_0_is_the_original_split() -> None:
    data = numbered(90, 30)
    assert fold(data, 0) is data


def test_each_image_validates_once_and_is_trained_on_otherwise() -> None:
    data = numbered(90, 30)
    folds = [fold(data, number) for number in range(4)]
    assert sorted(image for each in folds for image in images_of(each)[1]) == list(range(120))
    for each in folds:
        trained, validated = images_of(each)
        assert (len(trained), len(validated)) == (90, 30)
        assert sorted(trained + validated) == list(range(120))
        np.testing.assert_array_equal(each.train.labels, np.array(trained) % len(CLASSES))
        np.testing.assert_array_equal(each.val.labels, np.array(validated) % len(CLASSES))


@pytest.mark.parametrize("number", range(1, 7))
def test_the_classes_have_about_the_same_shares_in_each_fold(number: int) -> None:
    assert np.bincount(fold(numbered(90, 30), number).val.labels).tolist() == [10, 10, 10]
    labels = np.concatenate([np.repeat([0, 1, 2], [50, 7, 3]), np.repeat([0, 1, 2], [14, 4, 2])])
    counts = np.bincount(fold(numbered(60, 20, labels), number).val.labels, minlength=3)
    assert (np.abs(counts - np.array([50, 7, 3]) / 3) <= 1).all()


def test_further_folds_divide_the_images_again_in_another_order() -> None:
    data = numbered(90, 30)
    first, second = (
        [set(images_of(fold(data, number))[1]) for number in numbers] for numbers in ((1, 2, 3), (4, 5, 6))
    )
    assert set.union(*first) == set.union(*second) == set(range(90))
    assert not any(each in first for each in second)


@pytest.mark.parametrize(("train", "val"), [(10, 10), (7, 20), (100, 7), (14, 10), (3, 2)])
def test_the_splits_may_have_any_sizes(train: int, val: int) -> None:
    data = numbered(train, val)
    validated = []
    for number in range(1, 4):
        trained, others = images_of(fold(data, number))
        assert others
        assert sorted(trained + others) == list(range(train + val))
        validated.append(set(others))
    assert validated[0] != validated[1]
    assert not validated[0] & validated[1]


def test_folds_are_the_same_each_time_and_have_digests_of_their_own() -> None:
    data, again = numbered(90, 30), numbered(90, 30)
    folds = [fold(data, number) for number in range(7)]
    others = [fold(again, number) for number in range(7)]
    assert [images_of(each) for each in folds] == [images_of(each) for each in others]
    digests = [(each.train.digest, each.val.digest) for each in folds]
    assert digests == [(each.train.digest, each.val.digest) for each in others]
    assert len({digest for pair in digests for digest in pair}) == 14


def test_images_of_a_group_are_in_one_part_of_each_fold() -> None:
    data = numbered(90, 30)
    groups = [f"person {number // 6}" for number in range(120)]
    train, val = replace(data.train, groups=tuple(groups[:90])), replace(data.val, groups=tuple(groups[90:]))
    grouped = TrainingData(data.dataset, train, val)
    validated: list[int] = []
    for number in range(1, 4):
        part = fold(grouped, number)
        assert not set(part.train.groups) & set(part.val.groups)
        trained, now = images_of(part)
        assert sorted(trained + now) == list(range(120))
        assert [groups[image] for image in trained] == list(part.train.groups)
        validated += now
    assert sorted(validated) == list(range(90))
    assert images_of(fold(grouped, 4)) != images_of(fold(grouped, 1))


def test_weights_follow_their_images_into_the_folds() -> None:
    data = numbered(30, 10)
    weights = np.arange(40, dtype=np.float32) + 0.5
    train, val = replace(data.train, weights=weights[:30]), replace(data.val, weights=weights[30:])
    for number in range(4):
        part = fold(TrainingData(data.dataset, train, val), number)
        for split in (part.train, part.val):
            assert np.array_equal(split.weights, split.images[:].ravel() + 0.5)
    assert fold(data, 1).train.weights is None
