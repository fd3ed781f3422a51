"""The command `fovea`: its help, its subcommands, its error messages and its installation."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from pipeline.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
NAMES = [command.name for commands in COMMANDS.values() for command in commands]
SLOW = {"tensorflow", "keras", "mlflow", "optuna", "sklearn", "matplotlib"}  # to import: these take seconds


def fovea(*arguments: str, folder: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, with the code of this repository."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"} | variables
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one stage, which writes the file `done` and fails unless `status` in params.yaml is 0."""
    environment = os.environ | {"DVC_NO_ANALYTICS": "1"}
    for command in (["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "init", "--quiet"]):
        subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    (tmp_path / "params.yaml").write_text("status: 0\n")
    (tmp_path / "dvc.yaml").write_text(
        'stages:\n  only:\n    cmd: python -c \'import sys; print(sys.executable, file=open("done", "w"))\' '
        "&& grep -q 'status. 0' params.yaml\n    params: [status]\n    outs: [done]\n"
    )
    return tmp_path


def imported(done: subprocess.CompletedProcess[str]) -> set[str]:
    """The modules imported by a command that ran with PYTHONPROFILEIMPORTTIME, read from its stderr."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.mark.parametrize("arguments", [[], ["--help"], ["help"]])
def test_help_fits_one_screen_and_lists_every_command(arguments: list[str]) -> None:
    done = fovea(*arguments)
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert [name for name in NAMES if not any(line.split()[:1] == [name] for line in lines)] == []


@pytest.mark.parametrize("name", NAMES)
def test_help_of_each_command_fits_one_screen_and_imports_nothing_slow(name: str, tmp_path: Path) -> None:
    done = fovea(name, "--help", folder=tmp_path, PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: fovea {name} ")
    assert "python -m" not in done.stdout
    assert len(done.stdout.splitlines()) <= 24
    assert "pipeline.terminal.console" in imported(done)
    assert imported(done) & {*SLOW, "numpy", "pydantic", "ruamel.yaml", "sqlalchemy"} == set()


@pytest.mark.parametrize("arguments", [["--help"], ["params"], ["stauts"]])
def test_commands_without_computation_import_nothing_slow(arguments: list[str]) -> None:
    done = fovea(*arguments, PYTHONPROFILEIMPORTTIME="1")
    assert "pipeline.terminal.console" in imported(done)
    assert imported(done) & {*SLOW, "numpy"} == set()


def test_an_unknown_command_suggests_the_nearest_one() -> None:
    done = fovea("stauts")
    assert done.returncode == 1
    assert done.stderr == "error: fovea: unknown command 'stauts'; did you mean 'fovea status'?\n"


def test_a_command_without_a_near_match_refers_to_the_help() -> None:
    assert fovea("xyz").stderr.endswith("unknown command 'xyz'; run 'fovea --help' for a list of commands\n")


def test_outside_a_project_the_error_says_what_to_do(tmp_path: Path) -> None:
    done = fovea("status", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: fovea status: must be run in a project folder, but {tmp_path} has no ")
    assert done.stderr.endswith("cd into your clone of the project, or clone it first\n")


@pytest.mark.slow
def test_in_a_removed_folder_there_is_one_line_of_error(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from pipeline.cli import installed; installed()"
    command = 'cd "$1" && rmdir "$1" && exec "$2" -c "$3" status'
    arguments = ["sh", "-c", command, "sh", str(tmp_path / "gone"), sys.executable, start]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.stderr == "error: working folder: must exist, but it was removed; change to an existing folder\n"
    assert done.returncode == 1


def test_in_a_subfolder_of_a_project_the_error_names_the_project_folder(project: Path) -> None:
    (project / "docs").mkdir()
    assert fovea("run", folder=project / "docs").stderr.endswith(f"has no dvc.yaml; cd {project}\n")


def test_describe_prints_the_layers_of_a_file(tmp_path: Path) -> None:
    done = fovea("describe", str(ROOT / "examples/architectures/lenet5.yaml"), folder=tmp_path)
    assert "multiply-accumulates" in done.stdout


@pytest.mark.slow
def test_run_brings_the_stages_up_to_date_with_this_python(project: Path) -> None:
    assert fovea("run", folder=project, PATH=os.defpath).returncode == 0
    assert (project / "done").read_text().strip() == sys.executable
    assert "up to date" in fovea("run", folder=project).stdout


@pytest.mark.slow
def test_run_passes_stages_and_options_to_dvc_and_returns_its_exit_status(project: Path) -> None:
    dry = fovea("run", "--dry", "only", folder=project)
    assert dry.returncode == 0
    assert not (project / "done").exists()
    (project / "params.yaml").write_text("status: 1\n")
    failed = fovea("run", folder=project)
    assert failed.returncode not in (0, 1)
    assert "failed to reproduce 'only'" in failed.stderr


@pytest.mark.slow
def test_run_outside_a_git_repository_is_refused(project: Path) -> None:
    shutil.rmtree(project / ".git")
    done = fovea("run", folder=project, GIT_CEILING_DIRECTORIES=str(project.parent))
    assert done.returncode == 1
    assert "must be a Git repository, since DVC needs one; clone the project or run 'git init'" in done.stderr


@pytest.mark.slow
def test_run_with_an_output_linked_outside_the_repository_is_refused_with_a_hint(project: Path) -> None:
    (project / "reports").symlink_to(project.parent)
    done = fovea("run", folder=project)
    assert done.returncode == 1
    assert f"reports: must be in the repository {project}, where DVC keeps outputs, but is a link" in done.stderr
    assert "'dvc cache dir FOLDER'" in done.stderr


@pytest.mark.slow
def test_the_installed_command_runs_the_code_of_the_current_project(tmp_path: Path) -> None:
    source = tmp_path / "source"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "pipeline", "search", "*.toml", "*.md"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in listed:
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    venv.create(tmp_path / "venv", with_pip=False)
    packages = next((tmp_path / "venv/lib").glob("python*/site-packages"))
    outer = next(path for path in sys.path if path.endswith("site-packages"))
    (packages / "outer.pth").write_text(f"{outer}\n")
    python = tmp_path / "venv/bin/python"
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", source]
    subprocess.run(install, check=True, capture_output=True)

    def installed(*arguments: str, folder: Path) -> str:
        command = [tmp_path / "venv/bin/fovea", *arguments]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout

    assert installed("--version", folder=tmp_path).startswith("fovea ")
    (source / "dvc.yaml").write_text("stages: {}\n")
    text = (source / "pipeline/cli.py").read_text()
    (source / "pipeline/cli.py").write_text(text.replace("Run the pipeline", "Work of this clone"))
    assert "Work of this clone" in installed("--help", folder=source)
    assert "Work of this clone" not in installed("--help", folder=tmp_path)
