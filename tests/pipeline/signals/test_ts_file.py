import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.signals.ts_file import read_ts

HEADER = """# A comment
@problemName Tiny
@timestamps false
@missing true
@univariate false
@dimension 2
@equalLength false
@classLabel true up down
@data
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "Tiny_TRAIN.ts"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    return path


def test_cases_with_channels_missing_values_and_unequal_lengths_are_read(tmp_path: Path) -> None:
    read = read_ts(written(tmp_path, HEADER + "1,2,?:4,5,6:up\n\n7,8:9,-1e1:down\n"))
    assert read.name == "Tiny"
    assert read.classes == ("up", "down")
    assert read.labels.tolist() == [0, 1]
    assert read.lines == (10, 12)
    assert [case.shape for case in read.cases] == [(3, 2), (2, 2)]
    assert read.cases[1].tolist() == [[7, 9], [8, -10]]
    assert np.argwhere(np.isnan(read.cases[0])).tolist() == [[2, 0]]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("@timestamps false", "@timestamps true", r"@timeStamps must be false.*series:FOLDER"),
        ("@classLabel true up down", "@classLabel false", "@classLabel must be true"),
        ("@classLabel true up down", "@targetLabel true", "got no @classLabel"),
        ("@classLabel true up down", "@classLabel true up", "at least two different names, got up"),
        ("@dimension 2", "@dimension 3", "@dimensions is 3, got 2 channels"),
        ("@univariate false", "@univariate true", "@univariate is true, got 2 channels"),
        ("@equalLength false", "@equalLength true", r"line 11: must have 3 time steps .*, got 2; .*@equalLength must"),
        ("@equalLength false", "@equalLength true\n@seriesLength ²", "@seriesLength must be a whole number, got '²'"),
        ("4,5,6", "4,1e300,6", r"line 10: channel 1: values must be from .*, got 1e\+300 at 1"),
        ("@problemName Tiny", "@nonsense", "line 2: must be an entry of the header"),
        ("10:down", "10:sideways", r"line 11: class must be one of up, down .* got 'sideways'"),
        ("4,5,6", "4,five,6", r"line 10: channel 1: values must be numbers or \?, got 'five' at time step 1"),
        ("4,5,6", "4,5", "line 10: all channels of a case must have the same length, got 2 to 3"),
        ("7,8:9,10:down", "7,8:down", "line 11: must have 2 channels like the first case, got 1"),
        ("7,8:9,10:down", "7,8", "line 11: must be values, a colon and a class"),
        ("@data\n", "", "line 9: must be an entry of the header"),
        ("@equalLength false", "@equalLength true\n@seriesLength 999999999999", "line 11: must have 999999999999 time"),
        ("9,10", "9,\ud800", "UTF-8, got other bytes in line 11, at character 7"),
    ],
)
def test_damaged_files_are_reported(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = HEADER + "1,2,3:4,5,6:up\n7,8:9,10:down\n"
    assert old in text
    with pytest.raises(UserError, match=message):
        read_ts(written(tmp_path, text.replace(old, new)))


@pytest.mark.parametrize(("text", "found"), [(HEADER, "none after @data"), ("@missing true\n", "no line @data")])
def test_files_without_cases_are_reported(tmp_path: Path, text: str, found: str) -> None:
    with pytest.raises(UserError, match=f"must contain cases, got {found}"):
        read_ts(written(tmp_path, text.replace("@classLabel true up down\n@data\n", "@classLabel true a b\n@data\n")))


def test_an_absurdly_long_line_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at most 16,777,216 characters, got more in line 11; shorten the series"):
        read_ts(written(tmp_path, HEADER + "1:2:up\n" + "1," * 2**23 + "1:up"))


def test_cases_need_little_more_memory_than_their_values(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER.replace("@dimension 2\n", "") + (",".join(["0.123456789"] * 500) + ":up\n") * 500)
    tracemalloc.start()
    read = read_ts(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2 * sum(case.nbytes for case in read.cases) < path.stat().st_size
