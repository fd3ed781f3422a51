"""Check that each example still reaches the accuracy in its header.

Exits with 1 if an accuracy lies outside the interval in the header. `image_folder.yaml` is trained on the shapes that
`small_sets.py` draws. An example without an accuracy in its header is not run.
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

HEADER = re.compile(r"^# accuracy +([\d.]+) \(95% interval ([\d.]+) to ([\d.]+)\)", re.MULTILINE)


def main() -> None:
    """Run the examples and print the table."""
    print(machine())
    print("| example | accuracy in header | measured accuracy | minutes | within interval |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    held = [_row(example) for example in sorted((ROOT / "examples").glob("*.yaml"))]
    sys.exit(0 if all(held) else 1)


def _row(example: Path) -> bool:
    """Run an example in a fresh clone, print its row, and return whether the accuracy lies within the interval."""
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
