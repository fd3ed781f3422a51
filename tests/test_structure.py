"""The structure that the design and DVC rely on: imports between modules, and the lists in dvc.yaml."""

import ast
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.params.search import WITHOUT_EFFECT, SearchParams
from pipeline.training.fingerprint import FOLDERS as TRAINING_FOLDERS
from search.study.config import FOLDERS as STUDY_FOLDERS

ROOT = Path(__file__).resolve().parent.parent
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
# Folders import only from earlier ones.
ORDER = (
    "pipeline/params",
    "pipeline/sections",
    "pipeline/terminal",
    "pipeline/data",
    "pipeline/backbones",
    "pipeline/cnn",
    "pipeline/backend",
    "pipeline/trainers",
    "pipeline/training",
    "pipeline/text",
    "pipeline/arrays",
    "pipeline/images",
    "pipeline/signals",
    "pipeline/volumes",
    "pipeline/listing",
    "pipeline/decoding",
    "pipeline/sources",
    "pipeline/checks",
    "pipeline/loaders",
    "pipeline/machine",
    "pipeline/interpretation",
    "pipeline/corruptions",
    "pipeline/evaluation",
    "pipeline/description",
    "pipeline/inference",
    "pipeline/plots",
    "pipeline/pages",
    "pipeline/mlflow_server",
    "pipeline/tracking",
    "pipeline/registry",
    "pipeline/promotion",
    "pipeline/report",
    "pipeline/data_report",
    "pipeline/surveys",
    "pipeline/init",
    "pipeline/commands",
    "search/space",
    "search/study",
    "search/engine",
    "search/storage",
    "search/estimate",
    "search/analysis",
    "search/plots",
    "search/report",
)
# The top-level modules of its package that every folder may import.
FOUNDATIONS = ("digest", "errors", "file_content", "files", "params_file", "paths", "redaction")
MAX_MODULES = 13
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
    """All modules that a file imports, at the top or within a function, with their parent packages."""
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


def folder_of(path: Path) -> str:
    """A source file's folder, such as `pipeline/cnn`."""
    return path.parent.relative_to(ROOT).as_posix()


def test_every_folder_is_in_the_order() -> None:
    folders = {folder_of(path) for path in SOURCES}
    assert folders == {"pipeline", "search", *ORDER}


def test_the_architecture_page_lists_the_folders_in_this_order() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/architecture.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [folder.split("/")[1] for folder in ORDER]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_imports_only_from_its_own_folder_and_earlier_ones(path: Path) -> None:
    """Thus code that computes does not import plots, and plots do not import pages."""
    folder = folder_of(path)
    for found in filter(None, map(file_of, imported(path))):
        other = folder_of(found)
        if other == folder or found.name == "__init__.py":
            continue
        if folder in ("pipeline", "search"):  # stages and the command may use everything but the other package's stages
            assert folder == "search" or not other.startswith("search"), found
        elif other in ("pipeline", "search"):
            assert found.stem in FOUNDATIONS, found
        else:
            assert other in ORDER, found
            assert ORDER.index(other) < ORDER.index(folder), found


def test_no_folder_has_too_many_modules() -> None:
    sizes = Counter(folder_of(path) for path in SOURCES if path.name != "__init__.py")
    assert {folder: size for folder, size in sizes.items() if size > MAX_MODULES} == {}


def test_code_that_affects_results_is_in_the_hashed_folders() -> None:
    """Everything that these modules import is hashed, except for modules that print messages or read files."""
    for hashed in (TRAINING_FOLDERS, (*TRAINING_FOLDERS, *STUDY_FOLDERS)):
        files = set[Path]()
        waiting = [path for path in SOURCES if path.is_relative_to(ROOT / hashed[-1])]
        waiting += [path for path in SOURCES if folder_of(path) in hashed]
        while waiting:
            path = waiting.pop()
            if path not in files:
                files.add(path)
                waiting += [found for name in imported(path) if (found := file_of(name))]
        others = {path for path in files if not any(path.is_relative_to(ROOT / folder) for folder in hashed)}
        assert {path.relative_to(ROOT).as_posix() for path in others} <= {
            "pipeline/__init__.py", "pipeline/digest.py", "pipeline/errors.py", "pipeline/file_content.py",
            "pipeline/files.py", "pipeline/params_file.py", "pipeline/redaction.py", "pipeline/terminal/__init__.py",
            "pipeline/terminal/causes.py", "pipeline/terminal/console.py", "pipeline/terminal/progress.py",
            "search/__init__.py",
        }  # fmt: skip


def test_mlflow_is_imported_in_three_folders_only() -> None:
    users = {folder_of(path) for path in SOURCES if any(name.split(".")[0] == "mlflow" for name in imported(path))}
    assert users == {"pipeline/mlflow_server", "pipeline/tracking", "pipeline/registry"}


@pytest.mark.parametrize(
    "command",
    [
        ["-m", "pipeline.cli", "params", "--schema"],
        ["-m", "pipeline.cli", "describe", "examples/architectures/lenet5.yaml"],
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
    """The invalid key is in a section that the stage does not use."""
    section = "register" if stage != "register" else "evaluate"
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace(f"\n{section}:\n", f"\n{section}:\n  nonsense: 1\n"))
    module = STAGES[stage]["cmd"].split()[2]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", module, "--params", tmp_path / "params.yaml"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    printed = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert done.returncode == 1
    assert len(printed) == 1
    assert f"{section}.nonsense: unknown key" in printed[0]
    assert "tensorflow" not in done.stderr


def test_every_stage_depends_on_the_check_of_the_parameters() -> None:
    made_by = {}
    for stage, content in STAGES.items():
        for out in content["outs"]:
            made_by[out if isinstance(out, str) else next(iter(out))] = stage
    waits: dict[str, set[str]] = {}
    for stage, content in STAGES.items():  # in the order of the file, each after what it depends on
        before = {made_by[name] for name in content["deps"] if name in made_by}
        waits[stage] = before.union(*(waits[each] for each in before))
    assert [stage for stage in STAGES if stage != "check" and "check" not in waits[stage]] == []


def test_the_stage_search_depends_on_every_key_that_affects_its_outputs() -> None:
    listed = {key.removeprefix("search.") for key in STAGES["search"]["params"] if key.startswith("search.")}
    assert listed == SearchParams.model_fields.keys() - WITHOUT_EFFECT
    assert set(STAGES["search"]["params"]) - {f"search.{key}" for key in listed} == {"model", "seed", "training"}
