"""The stage `check`: refuse a params.yaml that breaks a rule while the outputs of all other stages are still there.

DVC removes a stage's outputs before the stage can look at its parameters. So this stage comes before all others: the
first of them, `prepare`, depends on its output. The output never changes, so that no stage runs again because of it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.arguments import params_and_paths, stage_parser
from pipeline.console import run_main

if TYPE_CHECKING:
    from pipeline.params import Params

VALID = "params.yaml: every rule holds\n"


@dataclass(frozen=True)
class Paths:
    """Where the stage writes.

    Attributes:
        report: its only output, which never changes.
    """

    report: Path = Path("reports/check.txt")


def run(params: "Params", paths: Paths = Paths()) -> None:
    """Write the report.

    Args:
        params: parameters that were read, and so obey every rule.
        paths: where the report is written.
    """
    paths.report.parent.mkdir(parents=True, exist_ok=True)
    paths.report.write_text(VALID, encoding="utf-8")


def main(prog: str = "python -m pipeline.check") -> None:
    """Check the file that the command line names."""
    parser = stage_parser(prog, "Refuse a params.yaml that breaks a rule.", Paths())
    run(*params_and_paths(parser.parse_args(), Paths()))


if __name__ == "__main__":
    run_main(main)
