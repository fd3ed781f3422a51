"""The catalogue of faults: docs/reliability.md, generated from the tests in this folder and their last results.

`make soak` runs all tests, records the results in last_run.json, and writes the page.
"""

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs/reliability.md"
RESULTS = HERE / "last_run.json"
GROUPS = {
    "kill": "Killed processes",
    "resources": "Exhausted resources",
    "concurrency": "Several users at once",
    "state": "Damaged files and databases",
    "tracking": "Tracking servers that fail",
    "search": "Failing trials and changed studies",
    "input": "Untrusted input",
    "security": "Secrets and servers",
}
INTRODUCTION = """\
# Reliability

Each promise on this page has a test in `tests/faults` that does the damage. `make test` runs the tests marked `test`.
`make soak` runs all of them, records the results, and writes this page; a test without a result is newer than the last
`make soak`. Malformed images, recordings, volumes and arrays are further cases, each with its message: they are in
`tests/pipeline/images`, `signals`, `volumes`, `arrays` and `listing`.
"""


@dataclass(frozen=True)
class Case:
    """A test of the catalogue.

    Attributes:
        group: Key of GROUPS.
        name: Module and function, as `module.function`.
        promise: What users can rely on.
        method: How the test does the damage.
        long: Whether only `make soak` runs it.
    """

    group: str
    name: str
    promise: str
    method: str
    long: bool


def cases() -> Iterator[Case]:
    """Read all cases from the docstrings of the tests.

    Raises:
        ValueError: A module belongs to no group, or a test has no docstring of two paragraphs.
    """
    for path in sorted(HERE.glob("test_*.py")):
        group = path.stem.split("_")[1]
        if group not in GROUPS:
            raise ValueError(f"{path.name}: the name must start with test_ and one of {', '.join(GROUPS)}")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        all_long = any(isinstance(node, ast.Assign) and _is_long(node.value) for node in tree.body)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                promise, _, method = (ast.get_docstring(node) or "").partition("\n\n")
                if not promise or not method:
                    raise ValueError(f"{path.name}: {node.name} must have a docstring with a promise and a method")
                name = f"{path.stem}.{node.name}"
                long = all_long or any(_is_long(each) for each in node.decorator_list)
                yield Case(group, name, _line(promise), _line(method), long)


def _is_long(node: ast.expr) -> bool:
    return any(isinstance(part, ast.Attribute) and part.attr == "long" for part in ast.walk(node))


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def page() -> str:
    """Return the content of docs/reliability.md."""
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    found = list(cases())
    lines = [INTRODUCTION]
    for group, title in GROUPS.items():
        if rows := [case for case in found if case.group == group]:
            lines += [f"## {title}", "", "| promise | how it is tested | runs | last run |", "|---|---|---|---|"]
            lines += [
                f"| {case.promise} | {case.method} | {'soak' if case.long else 'test'} | {results.get(case.name, '')} |"
                for case in rows
            ]
            lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
