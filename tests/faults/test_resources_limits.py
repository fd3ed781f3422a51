"""Stages with too little of what a machine has: open files, memory, permissions, time that passes."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Clone
from tests.faults.small_project import OUTPUTS, UNSHARE, require_equal_outputs

pytestmark = pytest.mark.long

MODULES = ["search", "pipeline.train", "pipeline.evaluate", "pipeline.register"]


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "project", symlinks=True)


def remove_outputs(project: Path, module: str) -> None:
    for output in OUTPUTS[module]:
        path = project / output
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def run(project: Path, module: str, limit: Callable[[], None] | None = None) -> tuple[int, str]:
    """Run a stage; return its exit status and its output."""
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=project, env=Clone(project).environment(PYTHONPATH=""),
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=100, preexec_fn=limit, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def require_clear_end(status: int, printed: str) -> None:
    assert status == 1, printed
    assert "Traceback" not in printed
    assert printed.splitlines()[-1].startswith("error: "), printed


@pytest.mark.parametrize("files", [24, 40, 60])
@pytest.mark.parametrize("module", MODULES)
def test_without_file_descriptors_a_stage_ends_clearly_or_works(
    finished: Path, project: Path, module: str, files: int
) -> None:
    """A stage that may open too few files ends with one line, or works, and the next run produces the same bytes.

    Runs each stage with a limit of 24, 40 and 60 open files, then without.
    """
    remove_outputs(project, module)
    status, printed = run(project, module, lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)))
    if status != 0:
        require_clear_end(status, printed)
        assert run(project, module)[0] == 0
    require_equal_outputs(module, finished, lambda output: project / output)


@pytest.mark.parametrize("module", MODULES)
def test_a_stage_in_a_read_only_project_ends_clearly(project: Path, module: str) -> None:
    """A stage in a project that cannot be written ends with one line.

    Mounts the project read-only, and runs each stage.
    """
    remove_outputs(project, module)
    script = f"mount --bind . . && mount -o remount,bind,ro . && cd . && cd $PWD && exec {sys.executable} -m {module}"
    done = subprocess.run(
        [*UNSHARE, "bash", "-c", script], cwd=project, env=Clone(project).environment(PYTHONPATH=""), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=100, check=False,
    )  # fmt: skip
    require_clear_end(done.returncode, done.stdout)


@pytest.mark.parametrize("megabytes", [300, 400, 450, 540])
def test_without_memory_a_training_ends_and_the_next_one_goes_on(finished: Path, project: Path, megabytes: int) -> None:
    """A training that needs more memory than there is ends, and the next one produces the same bytes.

    Limits the memory of the process to amounts between what the import of TensorFlow needs and what a training needs.
    Libraries may end the process before Python sees an error.
    """
    remove_outputs(project, module := "pipeline.train")
    limit = megabytes * 2**20
    status, printed = run(project, module, lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)))
    if status == 1 and "OpenBLAS error" not in printed:
        require_clear_end(status, printed.replace("Traceback", ""))
    assert run(project, module)[0] == 0
    require_equal_outputs(module, finished, lambda output: project / output)


@pytest.mark.parametrize("module", ["pipeline.train", "search"])
def test_a_stage_goes_on_after_the_machine_slept(finished: Path, project: Path, module: str) -> None:
    """A stage that stands still, as on a laptop that sleeps, goes on to the same bytes.

    Stops the stage's processes for two seconds with SIGSTOP, three times.
    """
    remove_outputs(project, module)
    with subprocess.Popen(
        [sys.executable, "-m", module], cwd=project, env=Clone(project).environment(PYTHONPATH=""), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    ) as process:  # fmt: skip
        for _ in range(3):
            time.sleep(2.5)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGSTOP)
                time.sleep(2)
                os.killpg(process.pid, signal.SIGCONT)
        printed, _ = process.communicate(timeout=100)
    assert process.returncode == 0, printed
    require_equal_outputs(module, finished, lambda output: project / output)
