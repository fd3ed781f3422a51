"""A study as a command that is stopped by a signal."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Clone
from tests.faults import small_project
from tests.search.project import SMALL, Project, enable_ctrl_c
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


@pytest.mark.long
@pytest.mark.parametrize("module", ["pipeline.train", "pipeline.evaluate", "pipeline.register"])
def test_any_stage_that_is_terminated_or_interrupted_goes_on(finished: Path, tmp_path: Path, module: str) -> None:
    """The exit status of a training, an evaluation or a registration says that a signal ended it.
    It shows no traceback and leaves no partial outputs, and the next run produces the same bytes.

    Sends SIGTERM to the stage after its first line, runs it again, sends SIGINT, and runs it to its end.
    """
    project = shutil.copytree(finished, tmp_path / "project", symlinks=True)
    for output in small_project.OUTPUTS[module]:
        path = project / output
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for number, status in ((signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130), (None, 0)):
        with subprocess.Popen(
            [sys.executable, "-m", module], cwd=project, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=Clone(project).environment(PYTHONPATH="", PYTHONUNBUFFERED="1"), preexec_fn=enable_ctrl_c,
        ) as process:  # fmt: skip
            assert process.stdout
            line = process.stdout.readline()
            if number is not None:
                process.send_signal(number)
            printed = line + process.stdout.read()
        assert process.returncode == status, printed
        assert "Traceback" not in printed
        if number is not None:
            assert not any((project / output).exists() for output in small_project.OUTPUTS[module])
    small_project.require_equal_outputs(module, finished, lambda output: project / output)
