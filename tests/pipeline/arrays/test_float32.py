import numpy as np
import pytest

from pipeline.arrays.float32 import as_float32
from pipeline.errors import UnreadableError


def test_values_within_the_range_of_32_bits_are_converted() -> None:
    converted = as_float32(np.array([1.5, np.inf, np.nan]), "a")
    assert converted.dtype == np.float32
    assert np.array_equal(converted, np.array([1.5, np.inf, np.nan], np.float32), equal_nan=True)
    assert as_float32(np.array([2**62]), "a").tolist() == [2.0**62]


def test_a_value_that_exceeds_the_range_is_refused_with_its_place() -> None:
    with pytest.raises(UnreadableError, match=r"^a: values must be from .*, got -1e\+300 at 1, 0; divide"):
        as_float32(np.array([[0.0], [-1e300]]), "a")
