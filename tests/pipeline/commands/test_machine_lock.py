"""Messages about outputs that differ from the committed ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.machine.instructions import processor_flags
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

# Its output depends on nothing that DVC tracks, like a value that another processor rounds differently.
DVC_YAML = (
    "stages:\n  train:\n    cmd: echo $ONEDNN_MAX_CPU_ISA $HIDDEN > figures\n    params: [seed]\n    outs: [figures]\n"
)
ENVIRONMENT = os.environ | {
    "PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1",
    **{f"GIT_{who}_{what}": "test@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    run(tmp_path, "git", "init", "--quiet")
    run(tmp_path, sys.executable, "-m", "dvc", "init", "--quiet")
    return tmp_path


def run(folder: Path, *command: str, **variables: str) -> str:
    """Run a command and return its stderr."""
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT | variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def fovea_run(folder: Path, isa: str, hidden: str = "", program: str = "pipeline.cli") -> str:
    """Compute the outputs with the given instruction set."""
    arguments = ["run" if program == "pipeline.cli" else "repro", "--force"]
    return run(folder, sys.executable, "-m", program, *arguments, ONEDNN_MAX_CPU_ISA=isa, HIDDEN=hidden)


def commit(folder: Path) -> None:
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", "Lock")


def test_outputs_of_another_processor_are_distinguished_from_irreproducible_ones(project: Path) -> None:
    if "avx" not in processor_flags():
        pytest.skip("not a Linux machine with an x86 processor")
    assert "dvc.lock" not in fovea_run(project, "AVX")
    commit(project)

    other = fovea_run(project, "SSE41")
    assert "dvc.lock: train produced different outputs from the same inputs as the last commit: figures" in other
    assert "The machines round differently" in other
    assert "were computed on x86_64 with oneDNN AVX, " in other
    assert "the present ones on x86_64 with oneDNN SSE41" in other
    commit(project)

    assert "Both were computed on x86_64 with oneDNN SSE41" in fovea_run(project, "SSE41", hidden="chance")
    (project / "params.yaml").write_text("seed: 1\n")
    assert "dvc.lock" not in fovea_run(project, "AVX")

    fovea_run(project, "SSE41", program="dvc")
    commit(project)
    assert "machine.lock does not name the machine of the committed outputs" in fovea_run(project, "AVX")
