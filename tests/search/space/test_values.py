"""The values of a key of the search space."""

import math
from typing import Any

import pytest

from search.space.values import count, listed
from tests.search.spaces import space


@pytest.mark.parametrize(
    ("values", "number"),
    [
        ([4, 8, 16], 3),
        ({"low": 4, "high": 9}, 6),
        ({"low": 4, "high": 9, "step": 2}, 3),
        ({"low": 4, "high": 4}, 1),
        ({"low": 0.0, "high": 0.3, "step": 0.1}, 4),  # 0.1 + 0.1 + 0.1 is above 0.3 in floating point
        ({"low": 0.0, "high": 0.45, "step": 0.1}, 5),
        ({"low": 0.1, "high": 0.45, "step": 0.1}, 4),
        ({"low": 0.0, "high": 0.45}, math.inf),
        ({"low": 0.25, "high": 0.25}, 1),
    ],
)
def test_values_are_counted(values: Any, number: float) -> None:
    keys = (
        space(dropout=values)
        if isinstance(values, dict) and isinstance(values["low"], float)
        else space(filters=values)
    )
    (found,) = keys.given().values()
    assert count(found) == number


def test_all_integers_of_a_range_are_listed() -> None:
    (values,) = space(filters={"low": 4, "high": 9, "step": 2}).given().values()
    assert list(listed(values)) == [4, 6, 8]
