"""A refused value removes no output: params.yaml is checked before DVC removes any."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Clone, clone

pytestmark = pytest.mark.slow


def contents(folder: Path) -> dict[str, bytes]:
    """All files that stages wrote."""
    files = (path for name in ("data/prepared", "models", "reports") for path in (folder / name).rglob("*"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.is_file()}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """An up-to-date clone with prepared data, and placeholder files as the outputs of all other stages."""
    made = clone(tmp_path_factory.mktemp("refused") / "clone")
    made.run("dvc", "repro", "prepare")
    for name in outputs_of_all_stages(made.root):
        path = made.root / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"placeholder for {name}\n")
    made.run("dvc", "commit", "--force")
    made.run("git", "add", "-A")
    made.run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "Run")
    return made


@pytest.fixture
def finished(shared: Clone) -> Iterator[Clone]:
    """The clone; afterwards its params.yaml and dvc.lock are restored.

    They are written back rather than checked out: after `dvc exp run`, Git does not detect a change of equal size.
    """
    before = {name: (shared.root / name).read_bytes() for name in ("params.yaml", "dvc.lock")}
    yield shared
    for name, content in before.items():
        (shared.root / name).write_bytes(content)
    shared.run("dvc", "checkout", "--force")


def outputs_of_all_stages(root: Path) -> list[str]:
    """The paths that dvc.yaml lists."""
    from ruamel.yaml import YAML

    stages = YAML(typ="safe").load(root / "dvc.yaml")["stages"].values()
    outputs = (out for stage in stages for out in stage["outs"])
    return [out if isinstance(out, str) else next(iter(out)) for out in outputs]


@pytest.mark.parametrize(
    "command",
    [
        ["dvc", "repro", "train"],
        [sys.executable, "-m", "pipeline.cli", "run", "evaluate"],
    ],
    ids=lambda command: " ".join(command[-2:]),
)
def test_a_refused_value_removes_no_output(finished: Clone, command: list[str]) -> None:
    before = contents(finished.root)
    params = (finished.root / "params.yaml").read_text()
    finished.edit_params({"  val_fraction: 0.25 ": "  val_fraction: 7.0 ", "  epochs: 40 ": "  epochs: 0 "})
    failed = finished.run(*command, check=False)
    assert failed.returncode != 0
    assert "training.epochs: input should be greater than or equal to 1, got 0" in failed.stderr
    assert contents(finished.root) == before
    (finished.root / "params.yaml").write_text(params)
    assert "Running stage" not in finished.run("dvc", "repro").stdout
    assert contents(finished.root) == before


def test_an_experiment_with_a_refused_value_removes_no_output(finished: Clone) -> None:
    before = contents(finished.root)
    failed = finished.run("dvc", "exp", "run", "-S", "training.epochs=0", check=False)
    assert failed.returncode != 0
    assert "training.epochs: input should be greater than or equal to 1, got 0" in failed.stderr
    assert contents(finished.root) == before


def test_a_valid_value_runs_the_check_and_the_stages_that_use_it(finished: Clone) -> None:
    finished.edit_params({"  workers: 2 ": "  workers: 2  "})  # only white space changes
    done = finished.run("dvc", "repro").stdout
    assert [line for line in done.splitlines() if line.startswith("Running stage")] == ["Running stage 'check':"]
    finished.edit_params({"  val_fraction: 0.25 ": "  val_fraction: 0.3 "})
    done = finished.run("dvc", "repro", "prepare").stdout
    assert [line for line in done.splitlines() if line.startswith("Running stage")] == [
        "Running stage 'check':",
        "Running stage 'prepare':",
    ]


def test_an_experiment_changes_one_line_of_params_yaml(finished: Clone) -> None:
    finished.run("dvc", "exp", "run", "-S", "training.epochs=41", "prepare")
    assert finished.run("git", "diff", "--numstat", "params.yaml").stdout.split() == ["1", "1", "params.yaml"]
