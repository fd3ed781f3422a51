"""Tests that wait idly fail, and tests that compute do not."""

import subprocess
import sys

import pytest

from tests.idleness import limited


@pytest.mark.slow
def test_waiting_for_an_idle_process_fails() -> None:
    with (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process,
        pytest.raises(pytest.fail.Exception, match=r"waited for 1 seconds at .*, and nothing computed"),
        limited(1.0),
    ):
        process.wait()


@pytest.mark.slow
def test_waiting_for_a_computing_process_does_not_fail() -> None:
    code = "import time; end = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass"
    with limited(1.0):
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
