"""A finished project, and a record of when each case of the catalogue last ran and how it ended."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.faults.catalogue import RESULTS, cases

_outcomes: dict[str, str] = {}
_measured: dict[str, str] = {}  # what tests record with record_property("measured", …)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project in which all stages have run. Tests change copies of it."""
    from tests.faults.small_project import finished_project

    return finished_project(tmp_path_factory.mktemp("finished") / "project").root


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="record the results of tests/faults in last_run.json")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.nodeid.startswith("tests/faults/") and (report.when == "call" or report.outcome != "passed"):
        name = _name(report.nodeid)
        if _outcomes.get(name) in (None, "passed"):  # of several parameters, the worst
            _outcomes[name] = report.outcome
        _measured.update((name, str(value)) for key, value in report.user_properties if key == "measured")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not session.config.getoption("record", default=False) or hasattr(session.config, "workerinput"):
        return
    known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for name, outcome in _outcomes.items():
        figures = f": {_measured[name]}" if name in _measured else ""
        known[name] = f"{outcome}, {datetime.now(UTC):%Y-%m-%d}{figures}"
    there = {case.name for case in cases()}
    known = {name: result for name, result in known.items() if name in there}
    RESULTS.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _name(node: str) -> str:
    """The name of a case: `module.function`."""
    path, _, function = node.partition("::")
    return f"{path.rpartition('/')[2].removesuffix('.py')}.{function.partition('[')[0]}"
