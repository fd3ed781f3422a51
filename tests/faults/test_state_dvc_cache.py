"""A cache of DVC to which the user has no access."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from pipeline.commands.run import require_writable_cache
from pipeline.errors import UserError
from tests.conftest import Clone, clone
from tests.faults.permissions import give_back, of_another_user, read_only, with_ordinary_permissions
from tests.faults.small_project import shrink

FOVEA, DVC = [sys.executable, "-m", "pipeline.cli", "run"], ["dvc", "repro"]


DAMAGE = [read_only, of_another_user]


@pytest.mark.parametrize("place", [".dvc/cache", "shared"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_cache_without_access_is_refused_before_any_stage_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None], place: str
) -> None:
    """`fovea run` refuses a cache of DVC that cannot be written, before it runs a stage.

    Makes the cache read-only, and gives it to another user; in the project, and in a configured place.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / place / "files/md5").mkdir(parents=True)
    (tmp_path / ".dvc").mkdir(exist_ok=True)
    (tmp_path / ".dvc/config").write_text("" if place.startswith(".dvc") else f"[cache]\n    dir = ../{place}\n")
    damage(tmp_path / place)
    with pytest.raises(UserError, match=rf"^{tmp_path / place}: must be readable and writable.*; change its owner"):
        with_ordinary_permissions(require_writable_cache)
    give_back(tmp_path / place)
    with_ordinary_permissions(require_writable_cache)


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A project with a cache in which the first stage has run, and the dvc.lock that `prepare` adds to."""
    project = clone(tmp_path_factory.mktemp("checked") / "project")
    shrink(project)
    (project.root / "dvc.lock").unlink()
    project.run(*DVC, "check")
    undisturbed = Clone(shutil.copytree(project.root, project.root.parent / "undisturbed"))
    undisturbed.run(*DVC, "prepare")
    return project.root, (undisturbed.root / "dvc.lock").read_text()


@pytest.mark.long
@pytest.mark.parametrize("damage", DAMAGE)
def test_without_access_to_the_cache_one_line_says_so_and_the_next_run_goes_on(
    checked: tuple[Path, str], tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """Without access to DVC's cache, `fovea run` and `dvc repro` end with one line that names the folder. Afterwards,
    the same command goes on, and ends with the same `dvc.lock`.

    Makes the cache of a project read-only, and gives it to another user; then gives it back.
    """
    root, lock = checked
    project = Clone(shutil.copytree(root, tmp_path / "project"))
    before = (project.root / "dvc.lock").read_text()

    def run(*command: str) -> CompletedProcess[str]:
        done: CompletedProcess[str] = with_ordinary_permissions(lambda: project.run(*command, "prepare", check=False))
        return done

    damage(cache := project.root / ".dvc/cache")
    done = run(*FOVEA)
    assert done.returncode == 1
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    assert done.stderr.startswith(f"error: {cache}: must be readable and writable, since DVC stores outputs there")
    assert not (project.root / "data/prepared").exists()
    done = run(*DVC)
    assert done.returncode == 255
    (line,) = (each for each in done.stderr.splitlines() if each)
    assert line.startswith("ERROR: failed to reproduce ")
    assert f"Permission denied: '{cache}" in line
    assert (project.root / "dvc.lock").read_text() == before
    give_back(cache)
    assert run(*FOVEA).returncode == 0
    assert (project.root / "dvc.lock").read_text() == lock
