"""Run all outdated stages with `dvc repro` in this environment."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from pipeline.errors import UserError

# Folders that stages write to.
_FOLDERS = ("data", "data/prepared", "models", "reports")
_SETTINGS = {"DVC_NO_ANALYTICS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}


def environment() -> dict[str, str]:
    """Return the environment variables for DVC. Stages use the `python` of this environment; user settings are kept."""
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    return _SETTINGS | os.environ | {"PATH": os.pathsep.join(folders)}


def find_repository(folder: Path) -> Path:
    """Return the root of the Git repository that contains a folder.

    Raises:
        UserError: The folder is not in a Git repository, or git is not installed.
    """
    command = ["git", "rev-parse", "--show-toplevel"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False)  # noqa: S603  # no shell
    except FileNotFoundError:
        raise UserError("git: must be installed, since DVC needs it; use your system's package manager") from None
    if done.returncode != 0:
        raise UserError(
            f"{folder}: must be a Git repository, since DVC needs one; clone the project or run 'git init' there"
        )
    return Path(os.fsdecode(done.stdout.removesuffix(b"\n")))


def require_folders_within(repository: Path) -> None:
    """Reject output folders that are links to places outside the repository.

    Raises:
        UserError: An output folder is outside the repository.
    """
    for name in _FOLDERS:
        place = Path(name).resolve()
        if not place.is_relative_to(repository.resolve()):
            raise UserError(
                f"{name}: must be in the repository {repository}, where DVC keeps outputs, but is a link to {place}; "
                "remove the link, and use 'dvc cache dir FOLDER' and 'dvc config cache.type symlink' to keep large "
                "files elsewhere"
            )


def require_writable_cache() -> None:
    """Reject a cache to which DVC cannot write. DVC notices this only when a stage has ended, which then runs again.

    Raises:
        UserError: The cache, or a folder in it that DVC always writes to, cannot be read or written.
    """
    from dvc.config import Config, ConfigError

    try:
        config = Config.from_cwd()
    except ConfigError:  # DVC describes it
        return
    if config.dvc_dir is None:  # DVC describes it
        return
    cache = Path(config["cache"].get("dir") or Path(config.dvc_dir, "cache"))
    for folder in (cache, cache / "files/md5", cache / "runs"):
        if os.path.exists(folder) and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise UserError(
                f"{folder}: must be readable and writable, since DVC stores outputs there; change its owner or its "
                "permissions, and run the command again"
            )


def main(prog: str) -> int:
    """Run `dvc repro`, and explain why outputs differ from the committed ones.

    Returns:
        The exit status of `dvc repro`.

    Raises:
        UserError: The working directory is not in a Git repository, an output folder is a link to a place outside the
            repository, there is no params.yaml, or DVC cannot write to its cache.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        usage=f"{prog} [STAGE ...] [OPTION ...]",
        description="Run all outdated stages: check, prepare, search, train, evaluate, register.",
        epilog="Stages and options are passed to 'dvc repro', for example: "
        f"{prog} train; {prog} --dry; {prog} --force search. 'dvc repro --help' lists all options.",
        allow_abbrev=False,
    )
    _, arguments = parser.parse_known_args()
    require_folders_within(find_repository(Path.cwd()))
    if not Path("params.yaml").is_file():
        raise UserError(f"{Path.cwd()}: must contain params.yaml; restore it with 'git checkout params.yaml'")
    os.environ.update(environment())
    if "--dry" not in arguments:
        require_writable_cache()
    from dvc.cli import main as dvc  # slow to import, and reads the environment

    from pipeline.commands.machine_lock import DVC_LOCK, explain_differences, record_machine
    from pipeline.tracking.dvc_lock import read_text

    before = read_text(DVC_LOCK)
    status = int(dvc(["repro", *arguments]))
    if read_text(DVC_LOCK) != before:
        record_machine(before)
        for paragraph in explain_differences():
            print(paragraph, file=sys.stderr)
    return status
