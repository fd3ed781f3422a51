import numpy as np
import pytest

from pipeline.arrays.float32 import as_float32
from pipeline.errors import UnreadableError


def test_values_within_the_range_of_32_bits_are_converted() -> None:
    converted = as_float32(np.array([1.5, np.inf, np.nan]), "a")
    assert converted.dtype == np.float32
    assert np.array_equal(converted, np.array([1.5, np.inf, np.nan], np.float32), equal_nan=True)
    assert as_float32(np.array([2**62]), "a").tolist() == [2.0**62]


@pytest.mark.parametrize("value", [2**24 + 1, -(2**24) - 1, 2**63 - 1, -(2**63) + 1])
def test_an_integer_that_would_be_rounded_is_refused_with_its_place(value: int) -> None:
    with pytest.raises(
        UnreadableError, match=rf"^a: integers beyond 16,777,216 must not be rounded.*got {value:,} at 1;"
    ):
        as_float32(np.array([2**24, value]), "a")


def test_the_largest_integers_are_refused_as_well() -> None:
    with pytest.raises(UnreadableError, match="got 18,446,744,073,709,551,615 at 0"):
        as_float32(np.array([2**64 - 1], np.uint64), "a")


def test_a_value_that_exceeds_the_range_is_refused_with_its_place() -> None:
    with pytest.raises(UnreadableError, match=r"^a: values must be from .*, got -1e\+300 at 1, 0; divide"):
        as_float32(np.array([[0.0], [-1e300]]), "a")
