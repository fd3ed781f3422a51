"""Compare the time that `fovea plan` estimates for a study with the time that the study then takes.

Four studies, each in a fresh clone: the default one, and the ones that `fovea init` writes for the digits, for
generated X's and O's and for 5,000 images of Fashion-MNIST. The time of a study is that of the process
`python -m search`, from its start to the end of its report.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dvc.utils.hydra import apply_overrides
from peer_data import FOLDER
from results import publish
from table import FOVEA, fresh_clone, spread

from pipeline.terminal.console import run_main

LIMIT = 5_000
UNITS = {"seconds": 1, "minutes": 60, "hours": 3_600, "days": 86_400}
_ESTIMATE = re.compile(r"estimated time of the study .*: about ([\d.]+) (\w+)")


def main() -> None:
    """Plan and run the studies, and publish the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder of the Fashion-MNIST IDX files")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    studies = {
        "the default": None,
        "init, X's and O's": "xo",
        "init, 5,000 images of Fashion-MNIST": str(given.folder),
        "init, digits": "digits",
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in studies}
    for _ in range(given.repeats):
        for name, data in studies.items():
            found[name].append(_compare(data))
            print(name, *found[name][-1], flush=True)
    rows = []
    for name, runs in found.items():
        estimated, measured = zip(*runs, strict=True)
        ratios = [one / other for one, other in runs]
        rows.append([name, spread(estimated, 0), spread(measured, 0), spread(ratios)])
    publish("plan", ["study", "estimated, seconds", "measured, seconds", "ratio"], rows)


def _compare(data: str | None) -> tuple[float, float]:
    """Return the estimated and the measured seconds of a study."""
    with tempfile.TemporaryDirectory() as folder:
        clone = fresh_clone(Path(folder))
        if data is not None:
            _run(clone, FOVEA, "init", "--data", data)
            apply_overrides(clone / "params.yaml", [f"data.limit={LIMIT}"])
        _run(clone, FOVEA, "run", "prepare")
        planned = _run(clone, FOVEA, "plan")
        found = _ESTIMATE.search(planned)
        if found is None:
            raise ValueError(f"the plan has no estimate:\n{planned}")
        began = time.perf_counter()
        _run(clone, sys.executable, "-m", "search")
        return float(found[1]) * UNITS[found[2]], time.perf_counter() - began


def _run(folder: Path, *command: str) -> str:
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    run_main(main)
