"""Tests that wait for nothing are ended, and those that compute are not."""

import subprocess
import sys

import pytest

from tests.idleness import limited


@pytest.mark.slow
def test_waiting_for_a_process_that_does_nothing_fails() -> None:
    with (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process,
        pytest.raises(pytest.fail.Exception, match=r"waited for 1 seconds at .*, and nothing computed"),
        limited(1.0),
    ):
        process.wait()


@pytest.mark.slow
def test_waiting_for_a_process_that_computes_does_not() -> None:
    code = "import time; end = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass"
    with limited(1.0):
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
