"""One study, started in several processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import UserError
from search.storage.lock import is_locked, study_lock
from tests.conftest import ROOT

HOLD = """
import sys, time
from pathlib import Path
from search.storage.lock import study_lock
with study_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_another_process_is_refused_until_the_first_one_is_killed(tmp_path: Path) -> None:
    """A study that is started twice runs once: the second process gets a clear message. If the first one is killed, no
    stale lock is left.

    Starts a process that holds the lock of a study, sends SIGKILL to it, and starts the study again.
    """
    folder = tmp_path / "study-1"
    with subprocess.Popen([sys.executable, "-c", HOLD, folder], cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert is_locked(folder / "lock")
        with pytest.raises(UserError, match="study-1: must be run by one process at a time"), study_lock(folder):
            pass
        holder.kill()
    assert not is_locked(folder / "lock")
    with study_lock(folder):
        assert is_locked(folder / "lock")
