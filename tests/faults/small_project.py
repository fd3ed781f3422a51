"""A small project in which all stages have run, and a small disk on which its stages run again."""

import filecmp
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from ruamel.yaml import YAML

from tests.conftest import Clone, clone
from tests.test_kind_examples import SMALL, STAGES, changed

OUTPUTS = {
    "pipeline.prepare": ["data/prepared", "reports/prepare"],
    "search": ["models/architecture.yaml", "models/baseline.yaml", "reports/search", "studies"],
    "pipeline.train": ["models/model.keras", "models/model.yaml", "reports/train"],
    "pipeline.evaluate": ["reports/evaluate", "models/ood_detector.npz"],
    "pipeline.register": ["models/registration.json", "reports/register.json"],
}
VARIABLE = ("studies", "register.json")  # outputs that contain times, or the number of the version

UNSHARE = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--map-root-user", "--mount"]

# Runs a command on a disk with little room, then again with more room. The disk is private to this process.
SCRIPT = """
set -e
mount -t tmpfs -o size=2g tmpfs {disk}
cp -a {project}/. {disk}
cd {disk}
rm -rf {removed}
mkdir temporary
export TMPDIR=$PWD/temporary
mount -o remount,size=$(($(df -k --output=used . | tail -1) + {room}))k {disk}
{command} > {result}/first.log 2>&1 && echo 0 > {result}/first || echo $? > {result}/first
find {outputs} -type f > {result}/kept || true
find . -path ./.git -prune -o \\( -name '*.tmp' -o -name '.*-*' -o -path './temporary/*' \\) -print > {result}/left
mount -o remount,size=2g {disk}
{command} > {result}/second.log 2>&1 && echo 0 > {result}/second || echo $? > {result}/second
cp -a {outputs} {result}
"""


def shrink(project: Clone, **changes: object) -> None:
    """Write small values, and others by dotted key, to params.yaml."""
    content = changed(project.root / "params.yaml", SMALL | changes)
    with (project.root / "params.yaml").open("w") as file:
        YAML().dump(content, file)


def finished_project(folder: Path, **changes: object) -> Clone:
    """Clone the project into a folder, and run all stages at a small size."""
    made = clone(folder)
    shrink(made, **changes)
    made.run(sys.executable, "-c", STAGES)
    return made


def require_equal_outputs(module: str, project: Path, place: Callable[[str], Path]) -> None:
    """Compare the outputs of a stage byte for byte.

    Args:
        module: Module of the stage.
        project: The undisturbed project.
        place: Returns where the other output is.
    """
    for output in OUTPUTS[module]:
        one, other = project / output, place(output)
        if one.name in VARIABLE:
            continue
        for path in (one, *one.rglob("*")):
            if path.is_file():
                assert filecmp.cmp(path, other / path.relative_to(one), shallow=False), path


def run_on_small_disk(
    project: Path, module: str, outputs: list[str], room: int, folder: Path, keep: bool = False
) -> Path:
    """Run a stage on a full disk, then again with enough room.

    Args:
        project: The project, which is copied to the disk.
        module: Module of the stage.
        outputs: Outputs of the stage.
        room: Free kilobytes on the disk at the first run.
        folder: A folder for the mount point and the results.
        keep: Whether the first run starts with the outputs of the project.

    Returns:
        A folder with the exit status and output of both runs (`first`, `first.log`, …), the outputs and the temporary
        files after the first run (`kept`, `left`), and the outputs of the second run.
    """
    (disk := folder / "disk").mkdir()
    (result := folder / "result").mkdir()
    script = SCRIPT.format(
        disk=shlex.quote(str(disk)),
        project=shlex.quote(str(project)),
        outputs=" ".join(outputs),
        removed="" if keep else " ".join(outputs),
        room=room,
        result=shlex.quote(str(result)),
        command=f"{shlex.quote(sys.executable)} -m {module}",
    )
    environment = Clone(project).environment(PYTHONPATH="")
    subprocess.run([*UNSHARE, "bash", "-c", script], env=environment, check=True)
    return result
