import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.signals.resample import resample, stretch
from pipeline.signals.windows import cut, fit_length, time_segments, window_starts


def test_windows_start_every_hop_and_the_last_one_ends_with_the_sample() -> None:
    assert window_starts(10, 4, 3) == [0, 3, 6]
    assert window_starts(11, 4, 3) == [0, 3, 6, 7]
    assert window_starts(4, 4, 9) == [0]
    assert window_starts(3, 4, 1) == []


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 20))
def test_windows_without_gaps_cover_every_value(length: int, window: int, hop: int) -> None:
    starts = window_starts(length, window, min(hop, window))
    covered = {place for start in starts for place in range(start, start + window)}
    assert covered == (set(range(length)) if window <= length else set())


def test_a_sample_is_cut_into_copies_of_its_windows() -> None:
    series = np.arange(12, dtype=np.float32).reshape(6, 2)
    windows = cut(series, 4, 2)
    assert windows.shape == (2, 4, 2)
    assert windows[1].tolist() == series[2:].tolist()
    windows[:] = 0
    assert series[2, 0] == 4


@pytest.mark.parametrize(
    ("lengths", "length", "expected"),
    [
        ("error", 3, [0, 1, 2]),
        ("pad", 5, [0, 1, 2, 2, 2]),
        ("pad", 2, [0, 1]),
        ("crop", 2, [0, 1]),
        ("stretch", 3, [0, 1, 2]),
    ],
)
def test_lengths_are_converted_by_the_declared_policy(lengths: str, length: int, expected: list[float]) -> None:
    series = np.arange(3, dtype=np.float32)[:, None]
    assert fit_length(series, length, lengths, "a.csv").ravel().tolist() == expected


@pytest.mark.parametrize(("lengths", "length"), [("error", 2), ("error", 4), ("crop", 4)])
def test_other_lengths_are_refused_with_the_remedy(lengths: str, length: int) -> None:
    with pytest.raises(UserError, match=rf"a.csv: must have {length} time steps, got 3; set data.series.lengths"):
        fit_length(np.zeros((3, 1), np.float32), length, lengths, "a.csv")


def test_segments_in_time_do_not_overlap_and_the_test_segment_is_the_last() -> None:
    parts = time_segments(100, val_fraction=0.25, test_fraction=0.2)
    assert parts == {"train": slice(0, 60), "val": slice(60, 80), "test": slice(80, 100)}


def test_a_resampled_sine_is_the_sine_at_the_new_rate() -> None:
    def sine(rate: int) -> np.ndarray:
        return np.sin(2 * np.pi * 5 * np.arange(rate) / rate).astype(np.float32)

    result = resample(sine(441), 441, 160)
    assert result.dtype == np.float32
    assert result.shape == (160,)
    assert np.abs(result - sine(160))[10:-10].max() < 0.01


def test_a_frequency_above_half_of_the_new_rate_is_removed() -> None:
    high = np.sin(2 * np.pi * 90 * np.arange(400) / 400).astype(np.float32)
    assert np.abs(resample(high, 400, 100))[10:-10].max() < 0.01


def test_a_constant_stays_constant_and_each_channel_is_resampled_by_itself() -> None:
    constant = np.full((50, 2), [3.0, -1.0], np.float32)
    assert np.allclose(resample(constant, 50, 20), constant[:20], atol=0.01)


@pytest.mark.parametrize(("length", "new"), [(1, 7), (7, 1), (10, 10), (1234, 997), (3, 2000)])
def test_stretching_gives_exactly_the_length(length: int, new: int) -> None:
    assert stretch(np.ones((length, 2), np.float32), new).shape == (new, 2)
