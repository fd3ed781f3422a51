"""Mutation testing: change a module in one place, and see whether its tests fail.

`make mutants` tests all mutants and writes docs/mutants.md. It fails if a mutant survives that mutants.yaml does not
judge. Cosmic Ray proposes the mutants. Each is tested in a fork of one process that has imported the libraries, so
TensorFlow is imported only once. No file is changed: the fork imports the mutant in place of the module.
"""

import ast
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from types import CodeType, ModuleType

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.provider import OperatorProvider
from ruamel.yaml import YAML

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PAGE = ROOT / "docs/mutants.md"
JUDGEMENTS = HERE / "mutants.yaml"
LIBRARIES = (
    "hypothesis",
    "sqlalchemy.orm",
    "keras",
    "tensorflow",
    "optuna",
    "pandas",
    "scipy.stats",
    "sklearn.metrics",
    "rich",
)

SPACE = ("tests/search/space",)
GATE = ("tests/pipeline/promotion",)
PARAMS = ("tests/pipeline/params", "tests/pipeline/sections")
# The modules on which a result depends, and the tests that must notice a change of them.
MODULES: dict[str, Sequence[str]] = {
    "pipeline/cnn/geometry.py": (
        "tests/pipeline/cnn/test_geometry.py",
        "tests/pipeline/cnn/test_build.py::test_geometry_equals_keras",
        "tests/pipeline/backbones/test_backbone.py::test_only_images_fit",
        "tests/pipeline/backbones/test_network.py::test_macs_and_values_are_those_of_all_layers",
        "tests/pipeline/backbones/test_network.py::test_receptive_field_and_jump_are_in_positions_of_the_image_before_it_is_enlarged",
    ),
    "search/space/draw.py": SPACE,
    "search/space/feasibility.py": SPACE,
    "search/space/first_trials.py": SPACE,
    "search/space/nearest_params.py": SPACE,
    "search/space/values.py": SPACE,
    "pipeline/promotion/gate.py": GATE,
    "pipeline/promotion/decision.py": GATE,
    "pipeline/sections/gate_rules.py": (*GATE, *PARAMS),
    "pipeline/evaluation/choice.py": ("tests/pipeline/evaluation/test_choice.py",),
    "pipeline/params/addresses.py": PARAMS,
    "pipeline/params/base.py": PARAMS,
    "pipeline/params/file_pattern.py": PARAMS,
    "pipeline/params/model.py": PARAMS,
    "pipeline/params/search.py": PARAMS,
    "pipeline/params/space.py": PARAMS,
    "pipeline/params/training.py": PARAMS,
}

# Replacements that cannot be noticed or cannot be missed: bits of numbers, unions of types, identity, order of strings.
_MEANINGLESS = re.compile(r"Binary.*(BitOr|BitAnd|BitXor|Shift)|Comparison.*_(Eq|NotEq|Lt|LtE|Gt|GtE)_(Is|IsNot)$")
_GUARDS = re.compile(r"(?<=frozen=|strict=)False")  # they act only if other code is wrong
_MEANINGLESS_TEXT = re.compile(r"[<>]=? [\"']|, /,")  # the order of strings; `*` before arguments with names


@dataclass(frozen=True)
class Mutant:
    """A changed module.

    Attributes:
        module: Path of the module, relative to the repository.
        line: Number of the first changed line.
        was: The changed lines, as they were, without indentation.
        now: The same lines in the mutant.
        source: Source of the mutant.
    """

    module: str
    line: int
    was: str
    now: str
    source: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What a judgement refers to, whatever the line number."""
        return self.module, self.was, self.now


def mutants(module: str) -> Iterator[Mutant]:
    """Create all mutants of a module that can be compiled, each once."""
    source = (ROOT / module).read_text("utf-8")
    seen = {"", _parsed(source)}
    for name in OperatorProvider():
        operator_class = OperatorProvider()[name]
        if operator_class.arguments() or _MEANINGLESS.search(name):
            continue
        operator = operator_class()
        positions = sum(1 for node in ast_nodes(get_ast(source)) for _ in operator.mutation_positions(node))
        for occurrence in range(positions):
            mutated = mutate_code(source, operator, occurrence) or source
            parsed = _parsed(mutated)
            if parsed in seen:
                continue
            seen.add(parsed)
            mutant = _described(module, source, mutated)
            if not (_MEANINGLESS_TEXT.search(mutant.now) or _GUARDS.sub("True", mutant.now) == mutant.was):
                yield mutant


def _parsed(source: str) -> str:
    """Return the meaning of a source, regardless of white space; empty if it has a syntax error."""
    try:
        return ast.dump(ast.parse(source))
    except SyntaxError:
        return ""


def _described(module: str, source: str, mutated: str) -> Mutant:
    before, after = source.splitlines(), mutated.splitlines()
    changed = [code for code in SequenceMatcher(None, before, after, False).get_opcodes() if code[0] != "equal"]
    first, last = changed[0], changed[-1]
    was = " ".join(line.strip() for line in before[first[1] : last[2]])
    now = " ".join(line.strip() for line in after[first[3] : last[4]])
    return Mutant(module, first[1] + 1, was, now, mutated)


class _MutantLoader(importlib.machinery.SourceFileLoader):
    """Loads a mutant as if it were the module."""

    def __init__(self, name: str, mutant: Mutant) -> None:
        super().__init__(name, str(ROOT / mutant.module))
        self._source = mutant.source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, self.path, "exec")


class _MutantFinder(importlib.abc.MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._name = mutant.module.removesuffix(".py").replace("/", ".")

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_loader(fullname, _MutantLoader(fullname, self._mutant))


def _start(mutant: Mutant | None, tests: Sequence[str], log: Path) -> int:
    """Start the tests in a fork; return its process id. None: test the module as it is."""
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if mutant is not None:
        sys.meta_path.insert(0, _MutantFinder(mutant))
    import pytest

    # No plugins but xdist, which conftest.py needs: loading them takes longer than most tests.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    options = ["-x", "-q", "-p", "xdist.plugin", "-p", "no:cacheprovider"]
    status: int = 1
    with suppress(BaseException):  # whatever a mutant raises, it has been noticed
        for marks in ("not slow and not long", "slow and not long"):
            status = pytest.main([*options, "-m", marks, *tests])
            if status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
                break
        else:
            status = 0
    sys.stdout.flush()
    os._exit(status)


def survivors(found: Sequence[Mutant], workers: int) -> Iterator[Mutant]:
    """Test mutants, and return those that no test notices.

    Raises:
        RuntimeError: The tests fail without a mutant.
    """
    seconds = {tests: _seconds(tests) for tests in {tuple(MODULES[mutant.module]) for mutant in found}}
    waiting, running = list(reversed(found)), dict[int, tuple[Mutant, float]]()
    while waiting or running:
        while waiting and len(running) < workers:
            mutant = waiting.pop()
            tests = tuple(MODULES[mutant.module])
            running[_start(mutant, tests, Path(os.devnull))] = (mutant, time.monotonic() + 20 + 5 * seconds[tests])
        for pid in [pid for pid, (_, end) in running.items() if time.monotonic() > end]:
            os.killpg(pid, signal.SIGKILL)
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            time.sleep(0.02)
            continue
        mutant, _ = running.pop(pid)
        print("." if status else "S", end="", flush=True)
        if status == 0:
            yield mutant


def _seconds(tests: Sequence[str]) -> float:
    with tempfile.NamedTemporaryFile() as log:
        began = time.monotonic()
        _, status = os.waitpid(_start(None, tests, Path(log.name)), 0)
        if status:
            raise RuntimeError(f"tests without a mutant must pass: {' '.join(tests)}\n{log.read().decode()}")
        return time.monotonic() - began


def main(modules: Sequence[str]) -> int:
    """Test the mutants of modules (none: of all), and write the page if these are all; return the exit status."""
    for library in LIBRARIES:
        importlib.import_module(library)
    found = [mutant for module in modules or MODULES for mutant in mutants(module)]
    alive = list(survivors(found, os.cpu_count() or 1))
    judged = _judgements()
    unjudged = [mutant for mutant in alive if mutant.key not in judged]
    print(f"\n{len(found)} mutants, {len(alive)} survivors, {len(unjudged)} of them not judged")
    for mutant in unjudged:
        print(f"{mutant.module}:{mutant.line}\n  - {mutant.was}\n  + {mutant.now}")
    if not modules:
        PAGE.write_text(page(found, alive, judged), "utf-8")
    return bool(unjudged)


def _judgements() -> dict[tuple[str, str, str], str]:
    content = YAML(typ="safe").load(JUDGEMENTS)
    return {
        (module, was, now): entry["why"]
        for module, entries in content.items()
        for entry in entries
        for was, changed in entry["mutants"].items()
        for now in changed
    }


def page(found: Sequence[Mutant], alive: Sequence[Mutant], judged: Mapping[tuple[str, str, str], str]) -> str:
    """Return the content of docs/mutants.md."""
    lines = [
        "# Mutation testing\n",
        "`make mutants` changes one operator, number, condition or constant at a time in the modules on which a result",
        "depends, and runs the tests of the module. At least one of them must fail. It writes this page. It fails if a",
        f"mutant survives that `tests/mutants.yaml` does not judge. Last run: {time.strftime('%Y-%m-%d')}.\n",
        "| module | mutants | survivors |",
        "| --- | --- | --- |",
    ]
    for module in MODULES:
        tried, left = (sum(mutant.module == module for mutant in some) for some in (found, alive))
        lines.append(f"| `{module}` | {tried:,} | {left} |")
    lines.append(f"| all | {len(found):,} | {len(alive)} |\n")
    lines += ["## Survivors\n", "| module | line | mutant | judgement |", "| --- | --- | --- | --- |"]
    for mutant in sorted(alive, key=lambda mutant: mutant.key):
        row = (f"`{mutant.module}`", f"`{mutant.was}`", f"`{mutant.now}`", judged.get(mutant.key, "not judged"))
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
