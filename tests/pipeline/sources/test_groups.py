"""Images of a group are in one split."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.sources.source import Source
from pipeline.sources.stratified_split import split_source
from tests.pipeline.param_sections import data_params


def source(groups: Mapping[str, Sequence[str]], labels: Sequence[int] | None = None) -> Source:
    parts = {}
    for split, names in groups.items():
        of_split = np.array(labels) if labels is not None else np.arange(len(names)) % 2
        parts[split] = np.zeros((len(names), 2, 2, 1), np.uint8), of_split
    return Source("mine", ("a", "b"), parts, groups=groups)


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_kept_together_and_classes_are_in_each_split(seed: int) -> None:
    draw = np.random.default_rng(seed)
    people = [f"person {number}" for number in draw.integers(0, 20, 400)]
    shares = split_source(source({"train": people}), data_params(val_fraction=0.25, test_fraction=0.2), seed)
    found = {name: set(share.groups) for name, share in shares.items()}
    assert not found["train"] & found["val"]
    assert not found["train"] & found["test"]
    assert not found["val"] & found["test"]
    assert sum(len(share.places) for share in shares.values()) == 400
    assert 0.12 < len(shares["test"].places) / 400 < 0.28
    for share in shares.values():
        assert np.bincount(share.labels, minlength=2).min() >= 2
        assert share.groups == tuple(people[place] for place in share.places)


def test_a_class_in_one_group_is_refused() -> None:
    groups = ["one"] * 10 + [f"{number}" for number in range(10)]
    with pytest.raises(UserError, match=r"when the test split was cut off, 'a' had 1 left"):
        split_source(source({"train": groups}, [0] * 10 + [1] * 10), data_params(), 1)
