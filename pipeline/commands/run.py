"""Bring all stages up to date: `dvc repro` of this environment, with what it needs around it."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from pipeline.errors import UserError

# Where stages write.
_FOLDERS = ("data", "data/prepared", "models", "reports")
_SETTINGS = {"DVC_NO_ANALYTICS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}


def environment() -> dict[str, str]:
    """The variables for DVC: stages find this environment's `python`; what the user set stays."""
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    return _SETTINGS | os.environ | {"PATH": os.pathsep.join(folders)}


def find_repository(folder: Path) -> Path:
    """The root of the git repository that a folder is in.

    Raises:
        UserError: it is in none, or git is missing.
    """
    command = ["git", "rev-parse", "--show-toplevel"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    except FileNotFoundError:
        raise UserError("git: must be installed, since DVC needs it; install it with your system's packages") from None
    if done.returncode != 0:
        raise UserError(
            f"{folder} is no git repository, which DVC needs; clone the project, or run 'git init' in its folder"
        )
    return Path(os.fsdecode(done.stdout.removesuffix(b"\n")))


def require_folders_within(repository: Path) -> None:
    """Refuse links out of the repository in the places of folders that stages write to.

    Raises:
        UserError: there is one.
    """
    for name in _FOLDERS:
        place = Path(name).resolve()
        if not place.is_relative_to(repository.resolve()):
            raise UserError(
                f"{name}: must be in the repository {repository}, where DVC keeps outputs, but is a link to {place}; "
                "remove it; 'dvc cache dir FOLDER' and 'dvc config cache.type symlink' keep large files elsewhere"
            )


def main(prog: str) -> int:
    """Run `dvc repro`, whose exit status is the command's, and say why outputs differ from the committed ones.

    Raises:
        UserError: this is no git repository, a folder for outputs is a link out of it, or there is no params.yaml.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        usage=f"{prog} [STAGE ...] [OPTION ...]",
        description="Runs all stages that are out of date: check, prepare, search, train, evaluate, register.",
        epilog="Stages and options go to 'dvc repro', for example: "
        f"{prog} train; {prog} --dry; {prog} --force search. 'dvc repro --help' has all of them.",
        allow_abbrev=False,
    )
    _, arguments = parser.parse_known_args()
    require_folders_within(find_repository(Path.cwd()))
    if not Path("params.yaml").is_file():
        raise UserError(f"{Path.cwd()}: must have a params.yaml; restore it with 'git checkout params.yaml'")
    os.environ.update(environment())
    from dvc.cli import main as dvc  # slow to import, and reads the environment

    from pipeline.commands.machine_lock import DVC_LOCK, explain_differences, read, record_machine

    before = read(DVC_LOCK)
    status = int(dvc(["repro", *arguments]))
    if read(DVC_LOCK) != before:
        record_machine(before)
        for paragraph in explain_differences():
            print(paragraph, file=sys.stderr)
    return status
