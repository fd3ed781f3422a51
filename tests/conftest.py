"""Fixtures shared by several test modules: fresh clones, and clones in which the pipeline has run."""

import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from pipeline.terminal.console import show_messages
from tests.idleness import limited

if TYPE_CHECKING:
    from tests.pipeline.registration import Workspace

# Workers of xdist share the processors: OpenBLAS threads that spin while they wait for each other double the time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Ray starts its workers with a niceness of 15: with other processes on the same core they get almost no time.
os.environ.setdefault("RAY_worker_niceness", "0")

ROOT = Path(__file__).resolve().parent.parent

# The whole pipeline at a small size: few images, trials and epochs.
SMALL = {
    "  limit: ": "  limit: 400 ",
    "  epochs: 40 ": "  epochs: 3 ",
    # a baseline that the study beats
    "  - filters: 16\n    convs": "  - filters: 1\n    convs",
    "  - filters: 32\n    convs": "  - filters: 1\n    convs",
    "  trials: 40 ": "  trials: 3 ",
    "  epochs: 18 ": "  epochs: 2 ",
    "  reduction_factor: 3 ": "  reduction_factor: 2 ",
    "  - grow\n  - rotation\n": "  - rotation\n",
    "  - gaussian_noise\n  - salt_and_pepper\n  - glare\n  - blur\n  - brightness\n": "  - blur\n",
    "    epochs: 2 ": "    epochs: 1 ",
    "    images: 4 ": "    images: 1 ",
    "    channels: 6 ": "    channels: 2 ",
    "  gate: [] ": "  gate: [accuracy >= 0.2] ",
}


# The modules that share the finished clones, which take minutes to create.
CLONES = (
    "tests/browser/test_dashboard.py",
    "tests/browser/test_data_page.py",
    "tests/browser/test_evaluation_page.py",
    "tests/browser/test_mlflow_ui.py",
    "tests/test_pipeline.py",
)
# The longest modules start first, so that no worker finishes long after the others.
LONGEST_FIRST = (
    *CLONES,
    "tests/search/test_stage.py",
    "tests/docs/test_pages.py",
    "tests/search/engine/test_ray_engine.py",
    "tests/test_kind_examples.py",
    "tests/pipeline/backbones/test_stages.py",
    "tests/faults/test_kill_train_cli.py",
    "tests/pipeline/cnn/test_build.py",
    "tests/faults/test_kill_writes.py",
    "tests/docs/test_extending.py",
    "tests/pipeline/test_register_served.py",
    "tests/test_interrupt.py",
    "tests/test_makefile.py",
    # the longest of `make soak`
    "tests/faults/test_kill_stages.py",
    "tests/faults/test_input_params.py",
    "tests/faults/test_kill_soak.py",
    "tests/faults/test_kill_dvc.py",
    "tests/faults/test_resources_disk.py",
    "tests/faults/test_resources_limits.py",
)


class ByModule(LoadScopeScheduling):
    """Assigns each module to one worker, and all modules that share the finished clones to the same worker."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return "finished clones" if module in CLONES else module


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {module: place for place, module in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(places)))


@pytest.fixture(autouse=True)
def enable_messages() -> None:
    """Show messages, as every command does."""
    show_messages()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    with limited():
        return (yield)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByModule:
    return ByModule(config, log)


@dataclass(frozen=True)
class Clone:
    """A clone of the working tree with a commit of its own."""

    root: Path

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of commands: this Python first on the PATH, and no settings of a tracking server."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "DVC_"))}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        return environment | {"DVC_NO_ANALYTICS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"} | more

    def run(self, *command: str, check: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the clone; if it fails, the error contains its output."""
        done = subprocess.run(
            command, cwd=self.root, env=self.environment(**more), text=True, capture_output=True, check=False
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{command} exited with status {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def watch(self) -> dict[str, str]:
        """Environment variables that make each Python process record what it opens, from its start."""
        folder = self.root.parent / f"{self.root.name}-watch"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(WATCH)
        return {"PYTHONPATH": str(folder)}

    def watched(self) -> tuple[set[str], set[str]]:
        """The programs that were started with these variables, and those that opened any file of the test split."""
        folder = self.root.parent / f"{self.root.name}-watch"
        started, opened = (set((folder / name).read_text().split()) for name in ("started", "opened"))
        return started, opened

    def link_outputs(self) -> None:
        """Replace the output folders by links to other folders in the clone."""
        for name in ("data/prepared", "reports"):
            (elsewhere := self.root / "build" / name).mkdir(parents=True)
            (self.root / name).symlink_to(elsewhere)

    def edit_params(self, changes: dict[str, str]) -> None:
        """Replace parts of params.yaml, each of which must occur in it."""
        path = self.root / "params.yaml"
        text = path.read_text()
        for old, new in changes.items():
            assert old in text, old
            text = text.replace(old, new, 1)
        path.write_text(text)


def clone(folder: Path) -> Clone:
    """Copy the tracked and new files of the working tree to a repository with one commit."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, text=True, capture_output=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        source, target = ROOT / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    made = Clone(folder)
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "Clone"],
    ):
        made.run("git", *command)
    return made


# Python runs this at the start of each process: it records the program, and whether it opens the test split.
WATCH = """
import os, sys

def note(what):
    command = sys.orig_argv
    name = command[command.index("-m") + 1] if "-m" in command else os.path.basename(next(iter(command[1:]), ""))
    if any("forkserver" in part for part in command):
        name = "forkserver"
    with open(os.path.join(os.path.dirname(__file__), what), "a") as log:
        log.write(name + "\\n")

def watch(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], (str, bytes, os.PathLike)):
        if b"prepared/test" in os.fsencode(arguments[0]):
            note("opened")

note("started")
sys.addaudithook(watch)
"""


# Contains characters that are special in URLs, glob patterns and format strings.
ODD_NAME = "50% off? #1 & [new] %s café cafe\u0301"


@pytest.fixture
def fresh_clone(tmp_path: Path) -> Clone:
    """A clone in which nothing has run, in a folder with an odd name."""
    return clone(tmp_path / ODD_NAME)


@pytest.fixture(scope="session")
def finished_clones(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clone, Clone]:
    """Two fresh clones in each of which `dvc repro` has run on the small configuration, at the same time.

    The first one searches in two processes. The second one searches on two Ray workers, in a folder with an odd name.
    """
    clones = [clone(tmp_path_factory.mktemp("clones") / name) for name in ("one", ODD_NAME)]
    running = []
    for made in clones:
        made.edit_params(SMALL)
        if made is clones[1]:
            made.edit_params({"  engine: processes ": "  engine: ray "})
        (made.root / "dvc.lock").unlink(missing_ok=True)
        log = (made.root.parent / f"{made.root.name}.log").open("w")
        environment = made.environment(**made.watch())
        running.append(subprocess.Popen(["dvc", "repro"], cwd=made.root, env=environment, stdout=log, stderr=log))
        log.close()
    for made, process in zip(clones, running, strict=True):
        assert process.wait() == 0, (made.root.parent / f"{made.root.name}.log").read_text()
    return clones[0], clones[1]


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables, which take seconds to create."""
    root = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("MLFLOW_EXPERIMENT_NAME", "other")
        from pipeline.mlflow_server.connection import connect

        connect(root)
    return root / "mlflow.db"


@pytest.fixture
def own_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> None:
    """Run the test in a folder with its own empty MLflow database."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def workspace(tmp_path: Path, own_database: None) -> "Workspace":
    """A project after `evaluate`, for tests of the stage register, in a folder with its own MLflow database."""
    from tests.pipeline.registration import Workspace

    made = Workspace(tmp_path)
    made.network(bias=0.0)
    return made
