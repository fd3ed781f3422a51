"""Stages without access to a folder of the project."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Clone
from tests.faults.permissions import give_back, of_another_user, read_only, with_ordinary_permissions
from tests.faults.small_project import OUTPUTS, require_equal_outputs

# Each stage with folders that it must be able to read or to write.
FOLDERS: dict[str, list[tuple[str, Callable[[Path], None]]]] = {
    "pipeline.prepare": [("data", of_another_user), ("data/prepared", read_only), ("reports", read_only)],
    "search": [("data/prepared/train", of_another_user), ("studies", read_only), ("models", read_only)],
    "pipeline.train": [("data/prepared/val", of_another_user), ("studies/train", read_only), ("reports", read_only)],
    "pipeline.evaluate": [
        ("data/prepared/test", of_another_user),
        ("reports/evaluate", read_only),
        ("logs", read_only),
    ],
    "pipeline.register": [("reports/evaluate", of_another_user), ("models", read_only), ("reports", read_only)],
}


def run(project: Path, module: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=project, env=Clone(project).environment(PYTHONPATH=""), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=100, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.long
@pytest.mark.parametrize("module", FOLDERS)
def test_without_access_to_a_folder_a_stage_ends_with_one_line_and_then_goes_on(
    finished: Path, tmp_path: Path, module: str
) -> None:
    """A stage without access to a folder ends with one line that names it and the remedy. Afterwards, the next run
    produces the same bytes.

    Makes folders for outputs, states and logs read-only, gives folders of inputs to another user, and runs each stage.
    """
    project = shutil.copytree(finished, tmp_path / "project", symlinks=True)
    for name, damage in FOLDERS[module]:
        damage(folder := project / name)
        status, printed = with_ordinary_permissions(lambda: run(project, module))
        give_back(folder)
        assert status == 1, printed
        assert "Traceback" not in printed
        *_, last = printed.splitlines()
        assert last.startswith("error: "), printed
        assert name in last
        assert re.search(
            "Permission denied; change its owner or its permissions|permission denied; make the file", last
        )
    assert run(project, module)[0] == 0
    require_equal_outputs(module, finished, lambda output: project / output)
    names = {path.name for output in OUTPUTS[module] for path in (project / output).parent.iterdir()}
    assert not {name for name in names if name.endswith(".tmp") or (name.startswith(".") and "-" in name)}
