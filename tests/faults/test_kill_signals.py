"""A study as a command that is stopped by a signal."""

import os
import signal
from pathlib import Path

import pytest

from tests.search.project import SMALL, Project
from tests.search.test_stage import OUTPUTS, PROCESSES


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.slow
def test_ctrl_c_stops_a_study_with_a_message_and_without_partial_outputs(
    tmp_path: Path, empty_database: Path, workers: int
) -> None:
    """Ctrl-C stops a study with one line and the exit status 130, and leaves no partial outputs.

    Sends SIGINT to all processes of `fovea search` after the first trial, as a terminal does.
    """
    project = Project(empty_database, tmp_path, SMALL | (PROCESSES if workers == 2 else {}))
    status, err = project.interrupt_after("trial ")
    assert (status, err.splitlines()[-1]) == (130, "stopped")
    assert "Traceback" not in err
    assert not any((tmp_path / name).exists() for name in OUTPUTS)


@pytest.mark.long
def test_a_study_that_is_terminated_goes_on_where_it_was(tmp_path: Path, empty_database: Path) -> None:
    """A study that a batch system terminates ends at once, its exit status says so, and the next run goes on.

    Sends SIGTERM to `fovea search` after the first trial, and runs it again.
    """
    project = Project(empty_database, tmp_path, SMALL | PROCESSES)
    process = project.start()
    assert process.stdout is not None
    assert any(line.startswith("trial ") for line in process.stdout)
    os.kill(process.pid, signal.SIGTERM)
    _, err = process.communicate()
    assert process.returncode == -signal.SIGTERM
    assert "Traceback" not in err
    assert not any((tmp_path / name).exists() for name in OUTPUTS)
    status, out, err = project.run()
    assert status == 0, err
    assert " of 4 trials done" in out
