"""Describe the environment of a run: Git commit, DVC digests, versions and device."""

import getpass
import hashlib
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline.machine.device import describe_device
from pipeline.machine.instructions import instruction_tags
from pipeline.tracking.dvc_lock import read_stages, read_text

PACKAGES = ("keras", "tensorflow", "numpy", "optuna", "mlflow", "dvc")


def describe_environment(root: Path) -> dict[str, str]:
    """Return tags that describe the repository, the data, the software and the device; unknown ones are omitted."""
    return {
        "mlflow.user": _user(),
        "mlflow.source.type": "LOCAL",
        **git_tags(root),
        **dvc_tags(root / "dvc.lock"),
        **version_tags(),
        **describe_device(),
        **instruction_tags(),
    }


def git_tags(root: Path) -> dict[str, str]:
    """Return the commit, and whether tracked files differ from it, except those that the pipeline itself writes."""
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return {}
    written = [f":(exclude,literal){path}" for path in ("dvc.lock", "machine.lock", *_outputs(root / "dvc.lock"))]
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", *written)
    return {"mlflow.source.git.commit": commit, "git.changed": "yes" if changed else "no"}


def dvc_tags(lock: Path) -> dict[str, str]:
    """Return the digest of dvc.lock, and DVC's own digests of the raw and the prepared data."""
    content = read_text(lock)
    stages = read_stages(content)
    if not stages:
        return {}
    tags = {"dvc.lock": hashlib.sha256(content.encode()).hexdigest()[:16]}
    for stage in stages.values():
        for entry in (*stage.get("deps", ()), *stage["outs"]):
            if entry["path"].startswith("data/") and "md5" in entry:
                tags[f"dvc.{entry['path']}"] = str(entry["md5"])
    return tags


def _outputs(lock: Path) -> list[str]:
    """Return the outputs of the stages, relative to the repository's root."""
    return [str(entry["path"]) for stage in read_stages(read_text(lock)).values() for entry in stage["outs"]]


def version_tags() -> dict[str, str]:
    """Return the versions of Python and of the packages that determine the result."""
    tags = {"version.python": platform.python_version()}
    for package in PACKAGES:
        try:
            tags[f"version.{package}"] = version(package)
        except PackageNotFoundError:
            continue
    return tags


def _git(root: Path, *arguments: str) -> str | None:
    try:
        process = subprocess.run(  # noqa: S603  # no shell
            ["git", "-C", str(root), *arguments],  # noqa: S607  # the user's git
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return process.stdout.strip()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
