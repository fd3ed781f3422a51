"""Progress of long work: plain lines, bars, and the remaining time."""

import os
import pty
import subprocess
import sys

import pytest

from pipeline.terminal import console
from pipeline.terminal import progress as progress_module
from pipeline.terminal.progress import pace, progress


def test_progress_without_a_terminal_is_plain_lines_with_count_name_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_module, "SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(console, "_last_line", 0.0)
    clock = iter(range(100))
    monkeypatch.setattr(console.time, "monotonic", lambda: float(next(clock)))
    assert list(progress(["blur", "shift"], "evaluate: robustness", 2, naming=str)) == ["blur", "shift"]
    printed = capsys.readouterr()
    assert printed.out == ""
    first, second = printed.err.splitlines()
    assert first == "evaluate: robustness 1 of 2 (blur)"
    assert second.startswith("evaluate: robustness 2 of 2 (shift; ")
    assert second.endswith(" left)")


def test_progress_of_unnamed_items_counts_the_finished_ones(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_module, "SECONDS_BETWEEN_LINES", 0.0)
    done = progress(range(3), "search", 3)
    next(done)
    assert capsys.readouterr().err == ""
    next(done)
    assert capsys.readouterr().err.startswith("search 1 of 3 (")


def test_progress_without_a_terminal_prints_at_most_one_line_every_few_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "_last_line", 0.0)
    now = 0.0
    monkeypatch.setattr(console.time, "monotonic", lambda: now)
    for _ in progress(range(100), "reading", 100):
        now += 0.1
    assert len(capsys.readouterr().err.splitlines()) == 3  # in ten seconds


@pytest.mark.parametrize(
    ("done", "seconds", "words"),
    [
        (0, 5.0, ""),
        (1, 30.0, "30.0 s each, about 4.5 minutes left"),
        (5, 2.0, "2.5/s, about 2 seconds left"),
        (5, 0.01, "500/s, about 2 seconds left"),
        (10, 20.0, "2.0 s each"),
    ],
)
def test_the_pace_is_formatted(done: int, seconds: float, words: str) -> None:
    assert pace(done, 10, seconds) == words


@pytest.mark.slow
def test_progress_on_a_terminal_is_a_bar_that_other_output_does_not_disturb() -> None:
    """Run in a pseudo-terminal; stdout is a pipe and must not appear on the terminal."""
    code = (
        "import time\n"
        "from pipeline.terminal.console import say\n"
        "from pipeline.terminal.progress import progress\n"
        "for part in progress(['outer'], 'all', 1, naming=str):\n"
        "    for item in progress('abc', 'letters', 3, naming=str):\n"
        "        time.sleep(0.3); say(f'said {item}')\n"
    )
    shown, terminal_end = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=terminal_end, env=environment, text=True
    )
    os.close(terminal_end)
    drawn = b""
    while True:
        try:
            drawn += os.read(shown, 4096)
        except OSError:  # the other end is closed
            break
    out, _ = process.communicate()
    os.close(shown)
    assert out.splitlines() == ["said a", "said b", "said c"]
    text = drawn.decode()
    assert "said" not in text
    assert "letters" in text
    assert "3/3" in text
    assert "c; " in text
    assert " left" in text
    assert "all" in text


def test_an_error_message_is_joined_into_one_line() -> None:
    from sqlalchemy.exc import OperationalError

    from pipeline.data.dataset import Dataset
    from pipeline.errors import message_of

    assert message_of(ValueError("cannot log\n\n  Invalid path: models/model.keras\n")) == (
        "cannot log Invalid path: models/model.keras"
    )
    assert message_of(ValueError()) == "ValueError"
    database = OperationalError("SELECT secret\nFROM x", {"secret": 1}, Exception("no such table: x\nrun the upgrade"))
    assert message_of(database) == "(builtins.Exception) no such table: x run the upgrade"
    with pytest.raises(ValueError, match="validation errors") as caught:
        Dataset.model_validate({"name": 3})
    assert "name Input should be a valid string" in message_of(caught.value)
    assert "input_shape Field required" in message_of(caught.value)
    assert "errors.pydantic.dev" not in message_of(caught.value)
    assert len(message_of(ValueError("x" * 5000))) < 1100
