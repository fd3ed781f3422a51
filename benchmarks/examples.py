"""Check that each example still reaches the accuracy in its header.

Exits with 1 if an accuracy lies outside the interval in the header. `image_folder.yaml` is trained on the shapes that
`small_sets.py` draws, `solids.yaml` on the volumes that `solids.py` draws, `spoken_digits.yaml` on the digits that
`spoken_digits.py` has spoken, and `gunpoint.yaml` on the series in the package aeon. An example
without an accuracy in its header, or whose data is not installed, is not run.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from peer_data import ROOT
from small_sets import draw_shapes
from solids import write_solids
from spoken_digits import speak
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
    found, aeon = HEADER.search(example.read_text(encoding="utf-8")), find_spec("aeon")
    missing = {"gunpoint.yaml": aeon is None, "spoken_digits.yaml": shutil.which("espeak-ng") is None}
    if found is None or missing.get(example.name, False):
        print(f"| {example.name} | {'none' if found is None else found[1]} | not run | | |", flush=True)
        return True
    expected, low, high = map(float, found.groups())
    with tempfile.TemporaryDirectory() as folder:
        clone = fresh_clone(Path(folder))
        if example.name == "image_folder.yaml":
            draw_shapes(clone / "data/raw/shapes")
        elif example.name == "solids.yaml":
            write_solids(clone / "data/raw/solids")
        elif example.name == "spoken_digits.yaml":
            speak(clone / "data/raw/spoken_digits")
        elif example.name == "gunpoint.yaml" and aeon is not None and aeon.origin is not None:
            series = Path(aeon.origin).with_name("datasets") / "data/GunPoint"
            shutil.copytree(series, clone / "data/raw/GunPoint")
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
