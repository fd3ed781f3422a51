import numpy as np
import pytest

from pipeline.data.audio_format import AudioFormat
from pipeline.data.series_format import SeriesFormat
from pipeline.errors import UserError
from pipeline.signals.audio_input import fill_up, spectrograms
from pipeline.signals.parts import recording_parts, series_parts
from pipeline.signals.window_rows import LongSample

FORM = SeriesFormat(window=4, channels=1, hop=2, rate=None, time_column=None, lengths="error", missing="error")


def series(*lengths: int) -> list[np.ndarray]:
    """Series that count up from 100 times their number."""
    return [np.arange(length, dtype=np.float32)[:, None] + 100 * number for number, length in enumerate(lengths)]


def samples(*lengths: int, split: str = "train") -> list[LongSample]:
    return [
        LongSample(split, number % 2, f"{number}.csv", f"g{number}", length) for number, length in enumerate(lengths)
    ]


def test_windows_carry_label_name_and_group_of_their_series() -> None:
    values = series(6, 4)
    found = series_parts(samples(6, 4), values.__getitem__, FORM, None, "x")
    rows, labels = found.parts["train"]
    assert rows.shape == (3, 4, 1)
    assert rows[:][..., 0].tolist() == [[0, 1, 2, 3], [2, 3, 4, 5], [100, 101, 102, 103]]
    assert rows[np.array([0, 2])][:, 0, 0].tolist() == [0, 100]
    assert labels.tolist() == [0, 0, 1]
    assert found.names == {"train": ["0.csv (1)", "0.csv (2)", "1.csv"]}
    assert found.groups == {"train": ["g0", "g0", "g1"]}


def test_windows_carry_the_weight_of_their_series() -> None:
    values, form = series(40, 30), FORM
    weighted = [each._replace(weight=number + 0.5) for number, each in enumerate(samples(40, 30))]
    for in_time in (None, (0.4, 0.4)):
        found = series_parts(weighted, values.__getitem__, form, in_time, "x")
        for split, (rows, _) in found.parts.items():
            assert found.weights[split] == [0.5 + first // 100 for first in rows[:][:, 0, 0].tolist()]
    assert series_parts(samples(6, 4), values.__getitem__, form, None, "x").weights == {}


def test_a_series_is_read_once_for_its_windows_in_a_row() -> None:
    values, read = series(10, 10), []

    def count(number: int) -> np.ndarray:
        read.append(number)
        return values[number]

    rows, _ = series_parts(samples(10, 10), count, FORM, None, "x").parts["train"]
    assert len(rows[:]) == 8
    assert read == [0, 1]


def test_splits_in_time_share_no_time_step_and_the_test_split_is_last() -> None:
    values = series(40, 30)
    found = series_parts(samples(40, 30), values.__getitem__, FORM, (0.25, 0.2), "x")
    steps = {split: {tuple(row) for row in np.asarray(rows[:])[..., 0]} for split, (rows, _) in found.parts.items()}
    used = {split: {value for window in windows for value in window} for split, windows in steps.items()}
    assert used["train"] | used["val"] | used["test"] == set(range(40)) | set(range(100, 130))
    assert not used["train"] & used["val"]
    assert not used["test"] & (used["train"] | used["val"])
    assert max(value for value in used["train"] if value < 100) < min(used["val"])
    assert max(value for value in used["val"] if value < 100) < min(used["test"])
    groups = [set(each) for each in found.groups.values()]
    assert not set.intersection(*groups)


def test_a_part_in_time_that_is_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(UserError, match=r"x: 0.csv: .* at least 4 time steps .*, got 2 for test of 12"):
        series_parts(samples(12), series(12).__getitem__, FORM, (0.5, 0.2), "x")


def test_series_shorter_than_a_window_are_refused_padded_or_stretched() -> None:
    short = series(2)
    with pytest.raises(UserError, match=r"x: 0.csv: must have at least 4 time steps"):
        series_parts(samples(2), short.__getitem__, FORM, None, "x")
    for lengths, expected in (("pad", [0, 1, 1, 1]), ("stretch", [0, 0.5, 1, 1.5])):
        form = FORM.model_copy(update={"lengths": lengths})
        rows, _ = series_parts(samples(2), short.__getitem__, form, None, "x").parts["train"]
        assert rows[:].ravel() == pytest.approx(expected, abs=0.1)


def test_whole_series_of_other_lengths_are_refused_or_fitted() -> None:
    values, whole = series(4, 6), FORM.model_copy(update={"hop": None})
    with pytest.raises(UserError, match=r"x: 1.csv: must have 4 time steps, got 6; .*crop, pad or stretch"):
        series_parts(samples(4, 6), values.__getitem__, whole, None, "x")
    cropped = whole.model_copy(update={"lengths": "crop"})
    rows, _ = series_parts(samples(4, 6), values.__getitem__, cropped, None, "x").parts["train"]
    assert rows[1:].ravel().tolist() == [100, 101, 102, 103]


def test_recordings_become_spectrograms_of_pieces_with_their_sound() -> None:
    form = AudioFormat(
        rate=8000, piece=800, piece_hop=400, window=160, hop=80, bands=8, low=100.0, high=4000.0, floor_db=-60.0
    )
    numbers = np.random.default_rng(0)
    values = [numbers.integers(-9000, 9000, length).astype(np.int16) for length in (1300, 500)]
    found, sound = recording_parts(samples(1300, 500), values.__getitem__, form, "x")
    rows, labels = found.parts["train"]
    assert rows.shape == (4, *form.input_shape)
    assert rows.dtype == np.float32
    assert labels.tolist() == [0, 0, 0, 1]
    pieces = sound["train"]
    assert pieces.shape == (4, 800)
    assert pieces[2:3][0].tolist() == values[0][500:].tolist(), "the last piece ends with the recording"
    assert pieces[3:][0].tolist() == fill_up(values[1], 800).tolist()
    assert np.array_equal(rows[1:3], spectrograms(np.asarray(pieces[1:3]), form))
