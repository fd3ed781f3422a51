import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.series_format import SeriesFormat
from pipeline.errors import UnreadableError
from pipeline.signals.csv_series import as_array, read_csv_series
from pipeline.signals.series_input import complete, read_series_inputs
from pipeline.text import csv_rows


def read(text: str, time_column: str | None = None, missing: str = "error", rate: float | None = None) -> np.ndarray:
    """The complete values of a CSV file with this content."""
    return complete(read_csv_series(text.encode(), "a.csv", time_column), rate, missing, "a.csv")


@pytest.mark.parametrize("text", ["1,2\n3,4\n", "x;y\n1;2\n\n3;4", "1\t2\r\n3\t4\r\n", "\ufeff1 2\n3  4\n"])
def test_separators_and_names_are_recognized(text: str) -> None:
    assert read(text).tolist() == [[1, 2], [3, 4]]


def test_the_time_column_is_no_channel() -> None:
    series = read_csv_series(b"Time,x,y\n0,1,2\n0.5,3,4\n", "a.csv", None)
    assert series.channels == ("x", "y")
    assert series.times is not None
    assert series.times.tolist() == [0, 0.5]
    assert series.values.dtype == np.float32
    assert read_csv_series(b"t,x\n0,1\n1,2\n", "a.csv", "T").values.ravel().tolist() == [1, 2]


def test_series_with_time_stamps_are_resampled() -> None:
    rows = "".join(f"{step / 10},{step}\n" for step in range(21))
    assert np.allclose(read("time,x\n" + rows, rate=5).ravel(), np.arange(0, 21, 2), atol=0.2)


def test_dates_are_time_stamps() -> None:
    rows = [f"2026-01-31T12:00:0{second},{second}" for second in (0, 1, 2, 5)]
    with pytest.raises(UnreadableError, match=r"got a gap of 3 after time step 2"):
        read("\n".join(["time,x", *rows]))


def test_a_gap_is_refused_with_its_place_or_interpolated() -> None:
    text = "time,x\n0,0\n1,10\n2,20\n5,50\n6,60\n"
    with pytest.raises(UnreadableError, match=r"a.csv: .* gap of 3 after time step 2, at 2; .*missing: interpolate"):
        read(text)
    assert read(text, missing="interpolate").ravel().tolist() == [0, 10, 20, 30, 40, 50, 60]


@pytest.mark.parametrize("absent", ["", "?", "NaN", "NA", "null"])
def test_a_missing_value_is_refused_with_its_index_or_interpolated(absent: str) -> None:
    text = f"x,y\n1,4\n2,{absent}\n3,8\n"
    with pytest.raises(UnreadableError, match=r"got one at time step 1, channel 1; .*interpolate"):
        read(text)
    assert read(text, missing="interpolate").tolist() == [[1, 4], [2, 6], [3, 8]]


@pytest.mark.parametrize("missing", ["error", "interpolate"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2\n3,inf\n", "got infinity at time step 1, channel 1"),
        ("1,2\n3\n", "all lines must have 2 fields, got 1 in line 2"),
        ("x,y\n1,2\n3,abc\n", "must be numbers, got 'abc' in line 3, column 2"),
        ("time,x\n0,1\n0,2\n", "time stamps must increase, got 0 after 0 at time step 1"),
        ("time,x\n0,1\n,2\n", "time step 1 must have a time stamp"),
        ("time,x\n0,1\n", "at least two time steps, got 1"),
        ("time,x\nsoon,1\n1,2\n", "time stamps must be seconds or dates .*, got 'soon' in line 2"),
        ("time,x\n0,1\ninf,2\n", "got 'inf' in line 3"),
        ('1,2\n3,"1\n2"\n', "must not contain line breaks, got one that ends in line 3"),
        ("1,2\n3," + "1" * 140_000 + "\n", "line 2 cannot be read: field larger than field limit"),
        ("1," * 600_000 + "\n", "lines must have at most 1,048,576 characters, got more in line 1"),
        ("1,2\n1e300,2\n", r"from -3.4e\+38 to 3.4e\+38 .*, got 1e300 in line 2, column 1"),
        (",x,y\n0,1,2\n", r"all columns must have names .*, got '' for column 1; .*to_csv\(index=False\)"),
        ("0,1,2\n5,6,7\n", "got 0, 1, 2, which may be numbers of columns"),
        (",0,1\n0,6,7\n", "got 0, 1, which may be numbers of columns"),
        ("time,x\n0,1\n1e300,2\n", "got '1e300' in line 3"),
        ("time\n0\n1\n", "a column of values next to the time stamps"),
        ("x,y\n", "got only a line of names"),
        ("\n\n", "got only empty lines"),
        ("", "no bytes"),
    ],
)
def test_damaged_files_are_reported(text: str, message: str, missing: str) -> None:
    with pytest.raises(UnreadableError, match=f"^a.csv: .*{message}"):
        read(text, missing=missing)


@pytest.mark.parametrize("last", ["1e12", "3e7"])
def test_a_gap_that_would_fill_the_memory_is_refused(last: str) -> None:
    with pytest.raises(UnreadableError, match=r"gaps must be short enough .* 4 rows that would become .* time step 2;"):
        read(f"time,x\n0,1\n1,2\n2,3\n{last},4\n", missing="interpolate")


@pytest.mark.parametrize("rate", [1e9, 1e-9])
def test_a_rate_that_would_fill_the_memory_or_lose_the_series_is_refused(rate: float) -> None:
    with pytest.raises(UnreadableError, match=r"data.series.rate must be from 1/1000 to 1000 times .*for 1 Hz"):
        read("time,x\n0,1\n1,2\n2,3\n", rate=rate)


def test_an_empty_first_field_of_a_tab_separated_file_is_kept() -> None:
    assert read("x\ty\n\t1\n2\t3\n4\t\n", missing="interpolate").tolist() == [[2, 1], [2, 3], [4, 3]]


def test_values_that_count_up_are_read_if_they_cannot_be_numbers_of_columns() -> None:
    assert read("0.0,1.0\n5,6\n").tolist() == [[0, 1], [5, 6]]
    assert read("0\n1\n").tolist() == [[0], [1]], "a single column may well begin with 0"


def test_dates_without_a_time_zone_do_not_depend_on_that_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "time,x\n2026-03-29T00:00:00,1\n2026-03-29T01:00:00,2\n2026-03-29T02:00:00,3\n2026-03-29T03:00:00,4\n"
    monkeypatch.setenv("TZ", "Europe/Berlin")  # where the clocks go forward at 2 o'clock
    time.tzset()
    try:
        times = read_csv_series(text.encode(), "a.csv", None).times
    finally:
        monkeypatch.undo()
        time.tzset()
    assert times is not None
    assert times.tolist() == [1774742400 + 3600 * hour for hour in range(4)]
    aware = read_csv_series(b"time,x\n2026-03-29T02:00:00+02:00,1\n2026-03-29T01:00:00Z,2\n", "a.csv", None).times
    assert aware is not None
    assert aware.tolist() == [1774742400, 1774746000]


def test_a_file_is_read_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "_BLOCK", 4)
    text = "\n".join(f"{step},{-step}" for step in range(1, 8))
    assert read(text)[:, 0].tolist() == [1, 2, 3, 4, 5, 6, 7]
    with pytest.raises(UnreadableError, match="got 'x' in line 6, column 2"):
        read(text.replace("-6", "x"))


def test_a_channel_without_values_cannot_be_interpolated() -> None:
    with pytest.raises(UnreadableError, match="channel 1 must have values"):
        read("1,?\n2,?\n", missing="interpolate")


def test_a_missing_time_column_is_reported() -> None:
    with pytest.raises(UnreadableError, match=r"a column named 'when' .*, got the columns x, y"):
        read("x,y\n1,2\n", "when")
    with pytest.raises(UnreadableError, match=r"resampled to 5 Hz \(data.series.rate\), got none"):
        read("x,y\n1,2\n", rate=5)


def test_unreadable_paths_are_reported(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "latin.csv").write_bytes(b"x,y\xe9\n1,2\n")
    (tmp_path / "broken.csv").symlink_to(tmp_path / "gone.csv")
    for name, message in (
        ("empty.csv", "an empty file"),
        ("latin.csv", "in UTF-8, got other bytes in line 1, at character 4"),
        ("broken.csv", "a broken symbolic link"),
        ("none.csv", "no such file"),
        (".", "got a folder"),
    ):
        with pytest.raises(UnreadableError, match=message):
            read_csv_series(tmp_path / name, name, None)


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(UnreadableError, match="got a pipe or a device"):
        read_csv_series(tmp_path / "pipe.csv", "pipe.csv", None)


def test_lists_are_series() -> None:
    assert as_array([1, 2, 3], "input 0").shape == (3, 1)
    assert as_array([[1, 2], [3, 4]], "input 0").shape == (2, 2)
    for bad in ([1e300], [[1, 2], [3]], ["a"], [], [[[1]]]):
        with pytest.raises(UnreadableError, match=r"input 0: .*must"):
            as_array(bad, "input 0")


def test_a_file_becomes_windows_in_the_format_of_the_network() -> None:
    form = SeriesFormat(window=4, channels=1, hop=2, rate=None, time_column=None, lengths="error", missing="error")
    values = b"\n".join(b"%d" % step for step in range(7))
    assert read_series_inputs(values, "a.csv", form)[0][..., 0].tolist() == [[0, 1, 2, 3], [2, 3, 4, 5], [3, 4, 5, 6]]
    with pytest.raises(UnreadableError, match="must have 1 channel like the training series, got 2"):
        read_series_inputs(b"1,2\n3,4\n", "a.csv", form)


def test_columns_and_time_steps_must_be_those_of_the_training_series() -> None:
    form = SeriesFormat(
        window=2, channels=2, hop=None, rate=None, time_column=None, lengths="error", missing="error",
        names=("x", "y"), step=0.1,
    )  # fmt: skip
    for text in ("time,x,y\n0,1,2\n0.12,3,4\n", "x,y\n1,2\n3,4\n", "1,2\n3,4\n"):
        inputs, remarks = read_series_inputs(text.encode(), "a.csv", form)
        assert inputs.tolist() == [[[1, 2], [3, 4]]]
        assert ("names" in remarks) == ("x" not in text)
        assert ("step" in remarks) == ("time" not in text)
    with pytest.raises(UnreadableError, match=r"a.csv: must have the columns .* in the same order, x, y, got y, x;"):
        read_series_inputs(b"y,x\n1,2\n3,4\n", "a.csv", form)
    with pytest.raises(UnreadableError, match=r"steps of about 0.1 s like the training series, got 0.0001 s"):
        read_series_inputs(b"time,x,y\n0,1,2\n0.0001,3,4\n", "a.csv", form)
