"""Regular expressions that take longer than anyone waits."""

import time
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.listing import file_pattern
from pipeline.listing.list_files import list_files


def test_a_regular_expression_that_takes_too_long_ends_in_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A regular expression in `data.file_pattern` that would run for hours ends in a message after some seconds.

    Nested repetition and a name of 60 equal letters; the limit of 5 seconds is lowered to 0.3.
    """
    monkeypatch.setattr(file_pattern, "_MAX_SECONDS", 0.3)
    name = "a" * 60 + "_0.png"
    (tmp_path / name).write_bytes(b"")
    started = time.monotonic()
    with pytest.raises(UserError, match=rf"must match all names within 0 s, which {name} exceeds; do not repeat"):
        list_files("images", str(tmp_path), r"(?P<label>(a+)+)$", ())
    assert time.monotonic() - started < 2.0
    time.sleep(0.4)  # the alarm is off
