"""The Makefile: what its targets do, and its error messages."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


INSTALLATION = ("Makefile", "install.sh", "pyproject.toml", "requirements.lock", "requirements-dev.lock")


@pytest.fixture
def set_up(tmp_path: Path) -> Path:
    """A folder outside any repository, already set up, whose command fovea runs the code of this repository."""
    for name in (*INSTALLATION, "requirements-uv.lock"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    fovea = tmp_path / ".venv/bin/fovea"
    fovea.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m pipeline.cli "$@"\n')
    fovea.chmod(0o755)
    (tmp_path / "dvc.yaml").touch()
    for mark in (".ready", ".ready-dev"):
        (tmp_path / ".venv" / mark).touch()
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # These tests may themselves run under `make test`, which sets these variables.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("target", ["setup", "test", "lint"])
def test_setting_up_again_installs_nothing(set_up: Path, target: str) -> None:
    assert "install" not in make(set_up, "--dry-run", target).stdout.replace("Nothing to be done", "")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_after_a_change_repro_installs_its_own_requirements_only(set_up: Path, name: str) -> None:
    make_older(set_up / ".venv/.ready", than=set_up / name)
    commands = make(set_up, "--dry-run", "repro").stdout
    assert "install.sh .venv requirements.lock" in commands
    assert "requirements-dev.lock" not in commands


@pytest.mark.slow
def test_tests_install_the_second_lock_after_the_first(set_up: Path) -> None:
    for mark in (".ready", ".ready-dev"):
        (set_up / ".venv" / mark).unlink()
    commands = make(set_up, "--dry-run", "test").stdout
    assert commands.index("install.sh .venv requirements.lock") < commands.index(
        "install.sh .venv requirements-dev.lock"
    )


@pytest.mark.slow
def test_unknown_extras_are_refused_with_a_list_of_the_known_ones(set_up: Path) -> None:
    (set_up / ".venv/bin/python").symlink_to(sys.executable)
    for names in ("", "ray nonsense"):
        done = make(set_up, "extras", f"EXTRAS={names}")
        assert done.returncode != 0
        known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert f"error: EXTRAS: must be one or more of {', '.join(known)}" in done.stderr
        assert f"got '{names}'" in done.stderr


def make_older(path: Path, than: Path) -> None:
    """Set the modification time of a file to before that of another one."""
    moment = than.stat().st_mtime - 10
    os.utime(path, (moment, moment))


def test_help_lists_every_target_on_one_screen(set_up: Path) -> None:
    shown = make(set_up, "help").stdout.splitlines()
    assert len(shown) <= 24
    assert max(map(len, shown)) <= 80
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert {line.split()[1] for line in shown} == set(phony[1].split())


def test_repro_without_a_git_repository_is_refused(set_up: Path) -> None:
    done = make(set_up, "repro")
    assert done.returncode != 0
    assert "must be a Git repository, since DVC needs one" in done.stderr
