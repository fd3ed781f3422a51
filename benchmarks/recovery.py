"""Recovery of a killed training, and the cost of verifying what stages read, on Fashion-MNIST.

recovery: A training of the baseline of examples/fashion_mnist.yaml is killed with SIGKILL after three epochs. The table
    shows the seconds from the restart of the command to its first new epoch: to the start of that epoch, which includes
    the imports and the graphs, and to its end.
verification: Seconds that the SHA-256 digests of both splits take, and their share of a training of one epoch, as a
    whole process. Longer trainings verify once as well.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results import publish
from ruamel.yaml import YAML
from table import spread
from tracking import EXAMPLE, ROOT, write_inputs

from pipeline.data.training_data import read_training_data
from pipeline.terminal.console import run_main

_EPOCH = re.compile(r"epoch (\d+)/\d+ .* ([\d.]+) s$")


def write_params(folder: Path, **training: int | None) -> None:
    """Write params.yaml: the example with other settings of the training."""
    content = YAML(typ="safe").load(EXAMPLE)
    content["training"] |= training
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(content, file)


def start(folder: Path) -> "subprocess.Popen[str]":
    """Start the stage train."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.train"], cwd=folder, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def wait_for_epochs(process: "subprocess.Popen[str]", number: int) -> float:
    """Wait until a number of epochs has been trained, kill the process, and return the seconds of the last epoch."""
    assert process.stdout
    trained = 0
    for line in process.stdout:
        if found := _EPOCH.match(line):
            trained += 1
            if trained == number:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return float(found[2])
    raise RuntimeError("the training ended too early")


def recover(folder: Path) -> tuple[float, float]:
    """Kill a training after three epochs; return the seconds from the restart to the start and the end of an epoch."""
    shutil.rmtree(folder / "studies", ignore_errors=True)  # states of earlier trainings
    wait_for_epochs(start(folder), 3)
    began = time.perf_counter()
    epoch = wait_for_epochs(start(folder), 1)
    ended = time.perf_counter() - began
    return ended - epoch, ended


def verify(folder: Path) -> float:
    """Seconds of verifying the training and the validation split."""
    taken = []
    for checked in (True, True, False):  # the first one reads the files into the page cache
        began = time.perf_counter()
        read_training_data(folder / "data/prepared", checked)
        taken.append(time.perf_counter() - began)
    return taken[1] - taken[2]


def main() -> None:
    """Measure, and publish the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="runs of each kind (default: %(default)s)")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_inputs(folder)
        write_params(folder, patience=None)
        recovered = [recover(folder) for _ in range(runs)]
        write_params(folder, patience=None, epochs=1)
        verified, stages = [], []
        for _ in range(runs):
            began = time.perf_counter()
            start(folder).communicate()
            stages.append(time.perf_counter() - began)
            verified.append(verify(folder))
    starts, ends = zip(*recovered, strict=True)
    publish(
        "recovery", ["from the restart to", "seconds"],
        [["the start of the first new epoch", spread(starts, 1)], ["the end of that epoch", spread(ends, 1)]],
    )  # fmt: skip
    shares = [one / other for one, other in zip(verified, stages, strict=True)]
    publish(
        "verification",
        ["seconds of verifying", "seconds of a training of one epoch", "share"],
        [[spread(verified, 3), spread(stages, 1), spread(shares, 4)]],
    )


if __name__ == "__main__":
    run_main(main)
