"""What arrays contain, by their axes and values."""

import numpy as np
import pytest

from pipeline.surveys.array_layout import find_layout

NUMBERS = np.random.default_rng(0)


def smooth(*shape: int) -> np.ndarray:
    """Noise that is smooth along all axes but the first."""
    values = NUMBERS.normal(size=shape)
    for axis in range(1, len(shape)):
        for _ in range(3):
            values = values + np.roll(values, 1, axis)
    return values.astype(np.float32)


@pytest.mark.parametrize(
    ("samples", "kind", "channels"),
    [
        pytest.param(smooth(40, 30), "series", "last", id="one axis"),
        pytest.param(smooth(40, 28, 20), "image", "last", id="two smooth axes"),
        pytest.param(
            smooth(40, 28, 1) + 9 * NUMBERS.normal(size=(40, 1, 20)), "series", "last", id="unordered columns"
        ),
        pytest.param(smooth(40, 20, 28)[:, NUMBERS.permutation(20)], "series", "first", id="unordered rows"),
        pytest.param(smooth(40, 60, 6), "series", "last", id="few channels"),
        pytest.param(smooth(40, 3, 60), "series", "first", id="few channels first"),
        pytest.param(smooth(40, 12, 14, 3), "image", "last", id="colour"),
        pytest.param(smooth(40, 3, 12, 14), "image", "first", id="colour first"),
        pytest.param(smooth(40, 40, 40, 9), "image", "last", id="spectral"),
        pytest.param(smooth(40, 10, 12, 14), "volume", "last", id="volume"),
        pytest.param(smooth(40, 10, 10, 10, 2), "volume", "last", id="volume with channels"),
    ],
)
def test_what_arrays_contain_follows_from_their_axes(samples: np.ndarray, kind: str, channels: str) -> None:
    found = find_layout(samples)
    assert found is not None
    assert (found.kind, found.channels) == (kind, channels)
