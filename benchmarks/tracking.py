"""What tracking costs: the same training, as a whole process, with MLflow and without.

Fashion-MNIST from the IDX files and the baseline of examples/fashion_mnist.yaml. The two kinds alternate; both write
network, history, curves and checkpoints. "Without" replaces the run by one that keeps nothing.
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
from pipeline.params_file import load_params

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


def seconds(folder: Path, *python: str) -> tuple[float, float]:
    """Wall and processor time of a training from start to end of its process."""
    began, before = time.perf_counter(), getrusage(RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *python, "--params", EXAMPLE], cwd=folder, check=True, stdout=subprocess.DEVNULL,
        env={"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2", "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"},
    )  # fmt: skip
    after = getrusage(RUSAGE_CHILDREN)
    return time.perf_counter() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3, help="trainings of each kind (default: %(default)s)")
    pairs = parser.parse_args().pairs
    params = load_params(EXAMPLE)
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare.run(params, prepare.Paths(folder / "data/prepared", folder / "reports/prepare"))
        dataset = read_dataset(folder / "data/prepared/dataset.json")
        baseline = Architecture.from_model(params.model, dataset.input_shape, len(dataset.classes))
        for name in ("architecture", "baseline"):  # equal, so that one network is trained
            write_candidate(Candidate(architecture=baseline, training={}), folder / f"models/{name}.yaml")
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
