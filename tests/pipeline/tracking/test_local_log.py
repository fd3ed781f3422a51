"""The log of a run's data that differs between repetitions."""

import json
from pathlib import Path

import pytest

from pipeline.tracking.local_log import LocalLog, read_local_log


@pytest.fixture
def log() -> LocalLog:
    return LocalLog(
        key="abc",
        started=1_000,
        ended=9_000,
        finished=True,
        note="# Café",
        environment_tags={"commit": "0123456"},
        times={"1": 2_000, "2": 3_000},
        points=[("images_per_second", 1, 512.5, 2_000)],
        children={"t0": (1_500, 2_500)},
    )


def test_a_log_survives_a_round_trip_through_a_file(tmp_path: Path, log: LocalLog) -> None:
    log.children = {}
    log.write(tmp_path)
    assert read_local_log(tmp_path, "abc") == log
    assert (tmp_path / "logs" / "abc.json").is_file()


def test_start_and_end_of_child_runs_are_kept(tmp_path: Path, log: LocalLog) -> None:
    log.write(tmp_path)
    assert [tuple(times) for times in read_local_log(tmp_path, "abc").children.values()] == [(1_500, 2_500)]


def test_the_environment_in_a_log_of_an_older_version_is_kept(tmp_path: Path, log: LocalLog) -> None:
    log.write(tmp_path)
    path = tmp_path / "logs" / "abc.json"
    content = json.loads(path.read_text())
    content["surroundings"] = content.pop("environment_tags")
    path.write_text(json.dumps(content))
    read = read_local_log(tmp_path, "abc")
    assert read.environment_tags == {"commit": "0123456"}
    assert (read.started, read.points) == (log.started, log.points)


def test_logs_of_different_runs_are_separate(tmp_path: Path, log: LocalLog) -> None:
    log.write(tmp_path)
    LocalLog("other", note="another").write(tmp_path)
    assert read_local_log(tmp_path, "abc").note == "# Café"
    assert read_local_log(tmp_path, "missing") == LocalLog("missing")


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b"null", b"\xff", b'{"key": "abc"}', b'{"key": "abc", "points": [[1]]}',
                b'{"key": "abc", "points": [], "unknown": 1}']
)  # fmt: skip
def test_a_damaged_log_is_empty(tmp_path: Path, log: LocalLog, content: bytes) -> None:
    log.write(tmp_path)
    (tmp_path / "logs" / "abc.json").write_bytes(content)
    assert read_local_log(tmp_path, "abc") == LocalLog("abc")
