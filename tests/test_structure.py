"""The structure that design and DVC rely on: who imports whom, and what dvc.yaml must list."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.params.search import WITHOUT_EFFECT, SearchParams

ROOT = Path(__file__).resolve().parent.parent
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
SOURCES = sorted([*ROOT.glob("pipeline/**/*.py"), *ROOT.glob("search/**/*.py")])


def file_of(module: str) -> Path | None:
    """The file of a module of this repository."""
    base = ROOT.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def imported(path: Path) -> tuple[str, ...]:
    """All modules that a file imports, at its top or within a function, with their parent packages."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports must be absolute"
            found += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    parents = [name.rsplit(".", depth)[0] for name in found for depth in range(1, name.count(".") + 1)]
    return tuple(dict.fromkeys(found + parents))


def local_files(module: str) -> set[Path]:
    """The repository's files that running a module can import."""
    base = ROOT.joinpath(*module.split("."))
    start = base / "__main__.py" if base.is_dir() else base.with_suffix(".py")
    files, waiting = set(), [start, *(path for path in (file_of(module), file_of(module.split(".")[0])) if path)]
    while waiting:
        path = waiting.pop()
        if path not in files:
            files.add(path)
            waiting += [found for name in imported(path) if (found := file_of(name))]
    return files


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_yaml_lists_every_local_module_that_a_stage_imports(stage: str) -> None:
    command = STAGES[stage]["cmd"].split()
    assert command[:2] == ["python", "-m"]
    listed = [ROOT / name for name in STAGES[stage]["deps"]]
    for path in sorted(local_files(command[2])):
        assert any(path.is_relative_to(name) for name in listed), f"{stage}: {path.relative_to(ROOT)} is not listed"


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_yaml_lists_no_module_that_a_stage_does_not_import(stage: str) -> None:
    files = local_files(STAGES[stage]["cmd"].split()[2])
    for name in STAGES[stage]["deps"]:
        if name.startswith(("pipeline", "search")):
            assert any(path.is_relative_to(ROOT / name) for path in files), f"{stage}: {name} is not imported"


def test_only_evaluate_and_register_depend_on_the_test_split() -> None:
    users = {stage for stage, content in STAGES.items() if "data/prepared/test" in content["deps"]}
    assert users == {"evaluate", "register"}


def test_pipeline_never_imports_search() -> None:
    for path in ROOT.glob("pipeline/**/*.py"):
        assert not [name for name in imported(path) if name.split(".")[0] == "search"], path


def test_mlflow_is_imported_within_tracking_alone() -> None:
    users = {path for path in SOURCES if any(name.split(".")[0] == "mlflow" for name in imported(path))}
    assert users
    assert all(path.is_relative_to(ROOT / "pipeline/tracking") for path in users)


@pytest.mark.parametrize("package", ["pipeline/params", "pipeline/data", "pipeline/cnn", "pipeline/tracking"])
def test_lower_packages_import_no_stage(package: str) -> None:
    stages = {f"pipeline.{name}" for name in ("prepare", "train", "evaluate", "register", "predict")}
    for path in (ROOT / package).glob("**/*.py"):
        assert not stages & set(imported(path)), path


@pytest.mark.parametrize(
    "command",
    [
        ["-m", "pipeline.params", "--schema"],
        ["-m", "pipeline.cnn", "examples/architectures/lenet5.yaml"],
        ["-m", "pipeline.check", "--help"],
        ["-m", "pipeline.prepare", "--help"],
    ],
    ids=" ".join,
)
def test_quick_commands_import_nothing_slow(command: list[str]) -> None:
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]\n"
        "try:\n    runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)\n"
        "finally:\n    slow = {'tensorflow', 'keras', 'mlflow', 'optuna', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "    print('imported', sorted(slow), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "imported []"


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_checks_all_of_params_yaml_before_slow_imports(stage: str, tmp_path: Path) -> None:
    """The broken key stands in a section that the stage does not use."""
    section = "register" if stage != "register" else "evaluate"
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace(f"\n{section}:\n", f"\n{section}:\n  nonsense: 1\n"))
    module = STAGES[stage]["cmd"].split()[2]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", module, "--params", tmp_path / "params.yaml"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert done.returncode == 1
    assert len(told) == 1
    assert f"{section}.nonsense: unknown key" in told[0]
    assert "tensorflow" not in done.stderr


def test_every_stage_waits_for_the_check_of_the_parameters() -> None:
    made_by = {}
    for stage, content in STAGES.items():
        for out in content["outs"]:
            made_by[out if isinstance(out, str) else next(iter(out))] = stage
    waits: dict[str, set[str]] = {}
    for stage, content in STAGES.items():  # in the order of the file, each after what it depends on
        before = {made_by[name] for name in content["deps"] if name in made_by}
        waits[stage] = before.union(*(waits[each] for each in before))
    assert [stage for stage in STAGES if stage != "check" and "check" not in waits[stage]] == []


def test_the_stage_search_depends_on_every_key_that_its_outputs_follow_from() -> None:
    listed = {key.removeprefix("search.") for key in STAGES["search"]["params"] if key.startswith("search.")}
    assert listed == SearchParams.model_fields.keys() - WITHOUT_EFFECT
    assert set(STAGES["search"]["params"]) - {f"search.{key}" for key in listed} == {"model", "seed", "training"}
