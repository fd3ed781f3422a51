"""The ways in: what `make` does, and in which words it refuses."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def set_up(tmp_path: Path) -> Path:
    """A folder outside any repository that was set up before."""
    for name in ("requirements.lock", "pyproject.toml", "Makefile"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/.ready").touch()
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # These tests may themselves run below `make test`, which leaves its own marks.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_setting_up_again_installs_nothing(set_up: Path) -> None:
    assert make(set_up, "--dry-run", "setup").stdout == "make: Nothing to be done for 'setup'.\n"


def test_a_changed_lock_file_is_installed(set_up: Path) -> None:
    (set_up / ".venv/.ready").unlink()
    commands = make(set_up, "--dry-run", "setup").stdout
    assert "-m pip install" in commands
    assert "--require-hashes -r requirements.lock" in commands
    assert "--editable ." in commands


def test_help_lists_every_target_on_one_screen(set_up: Path) -> None:
    shown = make(set_up, "help").stdout.splitlines()
    assert len(shown) <= 24
    assert max(map(len, shown)) <= 80
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert {line.split()[1] for line in shown} == set(phony[1].split()) - {"git"}


def test_without_a_git_repository_repro_says_so(set_up: Path) -> None:
    done = make(set_up, "repro")
    assert done.returncode != 0
    assert "is no git repository, which DVC needs" in done.stderr


def test_the_lock_file_has_a_hash_for_each_version_and_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"\n(?=[a-z])", text.strip())
    assert len(entries) > 50
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry
    assert "://" not in text
    assert "--index-url" not in text
