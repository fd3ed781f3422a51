"""Whether each example still reaches the accuracy in its header, by what its header says.

Exits with 1 if an accuracy lies outside the interval that its header has. `image_folder.yaml` learns the shapes that
`small_sets.py` draws. An example whose header has no accuracy is not run; its row says so.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from peer_data import ROOT
from small_sets import draw_shapes
from table import FOVEA, fresh_clone, machine

HEADER = re.compile(r"^# accuracy +([\d.]+) \(95 % interval ([\d.]+) to ([\d.]+)\)", re.MULTILINE)


def main() -> None:
    """Print the table."""
    print(machine())
    print("| example | accuracy in its header | accuracy here | minutes | holds |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    held = [_row(example) for example in sorted((ROOT / "examples").glob("*.yaml"))]
    sys.exit(0 if all(held) else 1)


def _row(example: Path) -> bool:
    """Run an example in a fresh clone, print its row."""
    found = HEADER.search(example.read_text(encoding="utf-8"))
    if found is None:
        print(f"| {example.name} | none | not run | | |", flush=True)
        return True
    expected, low, high = map(float, found.groups())
    with tempfile.TemporaryDirectory() as folder:
        clone = fresh_clone(Path(folder))
        if example.name == "image_folder.yaml":
            draw_shapes(clone / "data/raw/shapes")
        shutil.copyfile(example, clone / "params.yaml")
        began = time.perf_counter()
        subprocess.run([FOVEA, "run"], cwd=clone, check=True, capture_output=True)
        minutes = (time.perf_counter() - began) / 60
        accuracy = json.loads((clone / "reports/evaluate/metrics.json").read_text(encoding="utf-8"))["accuracy"]
    holds = low <= accuracy <= high
    shown = f"{expected} ({low} to {high})"
    print(f"| {example.name} | {shown} | {accuracy} | {minutes:.1f} | {'yes' if holds else 'NO'} |", flush=True)
    return holds


if __name__ == "__main__":
    main()
