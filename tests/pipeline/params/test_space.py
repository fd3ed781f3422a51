"""The values of the section `search.space`."""

import re
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.params.space import Choices, Range
from tests.search.spaces import space


@pytest.mark.parametrize(
    "values",
    [
        {"low": 3, "high": 3},
        {"low": -5, "high": -1, "step": 2},
        {"low": 1, "high": 8, "step": 1},
        {"low": 0.5, "high": 2, "step": 0.5},
        {"low": 1, "high": 64, "log": True},
        {"low": 1e-4, "high": 0.1, "log": True},
        {"low": 1_000_000_000, "high": 1_000_000_100, "step": 50},
        {"low": 0, "high": 1_000_000, "step": 1},
    ],
    ids=str,
)
def test_a_range_has_ordered_bounds_and_a_positive_step(values: dict[str, Any]) -> None:
    assert Range(**values).model_dump(exclude_defaults=True) == values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"low": 4, "high": 3}, "low must not be above high, got low: 4, high: 3"),
        ({"low": 1, "high": 8, "step": 0}, "step must be above 0, got 0"),
        ({"low": 1, "high": 8, "step": -2}, "step must be above 0, got -2"),
        ({"low": 1, "high": 8, "step": 2, "log": True}, "step and log cannot be combined"),
        ({"low": 0, "high": 8, "log": True}, "low must be above 0 with log: true, got 0"),
        ({"low": -1, "high": 8, "log": True}, "low must be above 0 with log: true, got -1"),
        ({"low": 1, "high": 8, "step": 0.5}, "step must be an integer if low and high are integers, got 0.5"),
        ({"low": 0.0, "high": 1.5, "step": 1e-6}, "must have at most 1,000,000 steps, got step: 1e-06 from 0.0 to 1.5"),
        ({"low": 0.0, "high": 1_000_000.5, "step": 1.0}, "must have at most 1,000,000 steps"),
        ({"low": 0, "high": 1_000_001, "step": 1}, "must have at most 1,000,000 steps"),
        ({"low": 0, "high": 2_000_002, "step": 2}, "must have at most 1,000,000 steps"),
    ],
    ids=str,
)
def test_any_other_range_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        Range(**values)


def test_choices_are_distinct_values_of_any_types() -> None:
    assert Choices(choices=(1, 1.0, True)).choices == (1, 1.0, True)
    with pytest.raises(ValidationError, match="must not contain duplicates, got"):
        Choices(choices=(4, 8, 4))


def test_there_are_1_to_1000_choices() -> None:
    for number in (1, 1000):
        assert len(Choices(choices=tuple(range(number))).choices) == number
    for number in (0, 1001):
        with pytest.raises(ValidationError, match=r"items? after validation"):
            Choices(choices=tuple(range(number)))


def test_the_growth_of_filters_is_bounded() -> None:
    assert space(filter_growth=[0.01, 100.0]).filter_growth is not None
    for growth, bound in ((0.005, "greater than or equal to 0.01"), (100.5, "less than or equal to 100")):
        with pytest.raises(ValidationError, match=rf"(?s)filter_growth.*{bound}"):
            space(filter_growth=growth)
