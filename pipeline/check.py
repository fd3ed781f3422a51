"""The stage `check`: refuse a params.yaml that breaks a rule while the outputs of all other stages are still there.

DVC removes a stage's outputs before the stage can look at its parameters. So this stage comes before all others: the
first of them, `prepare`, depends on its output. The output never changes, so that no stage runs again because of it.
"""

import argparse
from pathlib import Path

from pipeline.console import run_main

VALID = "params.yaml: every rule holds\n"


def run(params: Path, report: Path) -> None:
    """Check a file of parameters, and write `report`, always with the same content.

    Raises:
        ParamsError: any rule is broken; all broken rules are listed.
    """
    from pipeline.params_file import load_params

    load_params(params)
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(VALID, encoding="utf-8")


def main(prog: str = "python -m pipeline.check") -> None:
    """Check the file that the command line names."""
    parser = argparse.ArgumentParser(prog=prog, description="Refuse a params.yaml that breaks a rule.")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: params.yaml")
    parser.add_argument("--report", type=Path, default=Path("reports/check.txt"), help="default: reports/check.txt")
    given = parser.parse_args()
    run(given.params, given.report)


if __name__ == "__main__":
    run_main(main)
