"""Cost of tracking: the same training, as a whole process, with and without MLflow.

Trains the baseline of examples/fashion_mnist.yaml on the IDX files of Fashion-MNIST. Training runs with and without
tracking alternate. Both write the network, the history, the curves and the checkpoints. Without tracking, the MLflow
run is replaced by an object that discards everything.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median

from table import machine, spread

from pipeline import prepare
from pipeline.cnn.architecture import Architecture
from pipeline.cnn.candidate import Candidate, write_candidate
from pipeline.data.dataset import read_dataset
from pipeline.sections.load import load_params

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples/fashion_mnist.yaml"
WITHOUT = """
import contextlib, runpy
import pipeline.tracking.live

class Untracked:
    def __init__(self, record): self.record = record
    def log(self, *_, **__): pass
    artifact = tag = end = amend = log

pipeline.tracking.live.track = lambda record, root: contextlib.nullcontext(Untracked(record))
runpy.run_module("pipeline.train", run_name="__main__", alter_sys=True)
"""


def write_inputs(folder: Path) -> None:
    """Write the inputs of a training of the baseline: the prepared data and the candidates."""
    params = load_params(EXAMPLE)
    prepare.run(params, prepare.Paths(folder / "data/prepared", folder / "reports/prepare"))
    dataset = read_dataset(folder / "data/prepared/dataset.json")
    baseline = Architecture.from_model(params.model, dataset.input_shape, len(dataset.classes))
    for name in ("architecture", "baseline"):  # identical, so that only one network is trained
        write_candidate(Candidate(architecture=baseline, training={}), folder / f"models/{name}.yaml")


def seconds(folder: Path, *python: str) -> tuple[float, float]:
    """Return the wall time and the processor time in seconds of a training process."""
    began, before = time.perf_counter(), getrusage(RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *python, "--params", EXAMPLE], cwd=folder, check=True, stdout=subprocess.DEVNULL,
        env={"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2", "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"},
    )  # fmt: skip
    after = getrusage(RUSAGE_CHILDREN)
    return time.perf_counter() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Run the training processes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3, help="training runs of each kind (default: %(default)s)")
    pairs = parser.parse_args().pairs
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_inputs(folder)
        kinds = {"with tracking": ("-m", "pipeline.train"), "without": ("-c", WITHOUT)}
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
        for _ in range(pairs):
            for name, python in kinds.items():
                taken[name].append(seconds(folder, *python))
                print(f"  {name}: {taken[name][-1][0]:.1f} s", flush=True)
    for place, figure in enumerate(("wall time", "processor time")):
        tracked, without = ([entry[place] for entry in entries] for entries in taken.values())
        ratios = [one / other for one, other in zip(tracked, without, strict=True)]
        print(f"{figure:15} with tracking {spread(tracked, 1)} s, without {spread(without, 1)} s")
        print(f"{'':15} ratio {spread(ratios, 3)}, cost {median(ratios) - 1:+.1%}")


if __name__ == "__main__":
    main()
