"""Compare `fovea init` and `fovea run` on small datasets with a plain Keras script, KerasTuner and AutoKeras.

Needs `pip install keras-tuner tensorboard autokeras` in addition to the lock file (KerasTuner imports tensorboard
without requiring it) and the files of Fashion-MNIST. Each dataset is written to a separate folder. The two commands
then run in a fresh clone of this repository, without any other configuration. KerasTuner and AutoKeras each get the
wall time of the two commands. The test images are predicted once, after all choices have been made. `p` is McNemar's
p-value of Fovea against the peer.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from dvc.utils.hydra import apply_overrides
from numpy.typing import NDArray
from peer_data import ROOT
from small_peers import PEERS
from small_sets import SETS, SmallSet
from table import FOVEA, fresh_clone, machine, require_packages

from pipeline.data.split import read_split
from pipeline.evaluation.comparison import compare
from pipeline.evaluation.metrics import wilson_interval
from pipeline.predict import load_network
from pipeline.terminal.console import run_main

CONFIDENCE = 0.95


def main() -> None:
    """Run all datasets and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=[each.name for each in SETS], default=[each.name for each in SETS])
    parser.add_argument("--peers", nargs="*", choices=tuple(PEERS), default=list(PEERS))
    parser.add_argument("--logs", type=Path, help="folder for the output of the commands")
    given = parser.parse_args()
    needed = {"KerasTuner": ("keras-tuner", "tensorboard"), "AutoKeras": ("autokeras", "tensorboard")}
    require_packages("small_data.py", *{name for peer in given.peers for name in needed.get(peer, ())})
    print(machine())
    print("| data | train, val, test | minutes | Fovea | " + " | ".join(f"{peer} | p" for peer in given.peers) + " |")
    print("| --- | --- | --- | --- |" + " --- | --- |" * len(given.peers), flush=True)
    for chosen in SETS:
        if chosen.name in given.sets:
            with tempfile.TemporaryDirectory() as folder:
                print(_row(chosen, Path(folder), given.peers, given.logs), flush=True)


def _row(chosen: SmallSet, folder: Path, peers: list[str], logs: Path | None) -> str:
    """Return the row of a dataset: sizes, minutes, accuracies with intervals, and p-values."""
    clone = fresh_clone(folder)
    apply_overrides(clone / "params.yaml", [f"{key}={value}" for key, value in chosen.settings.items()])
    source = chosen.make(folder / "images")
    log = (logs or folder).resolve() / f"{chosen.name.replace(' ', '-').replace('/', '')}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    with log.open("w", encoding="utf-8") as output:
        for command in (["init", "--data", source], ["run"]):
            done = subprocess.run([FOVEA, *command], cwd=clone, stdout=output, stderr=subprocess.STDOUT, check=False)
            if done.returncode:
                return f"| {chosen.name} | fovea {command[0]} failed with status {done.returncode}: {log} |"
    seconds = time.perf_counter() - began
    prepared = clone / "data/prepared"
    sizes = [len(read_split(prepared / name, name).labels) for name in ("train", "val", "test")]
    test = read_split(prepared / "test", "test")
    network = load_network(str(clone / "models/model.keras"))
    own = network.classify(test.images).probabilities.argmax(axis=1) == test.labels
    cells = [chosen.name, ", ".join(map(str, sizes)), f"{seconds / 60:.1f}", _accuracy(own)]
    for peer in peers:
        labels = _labels_of_peer(peer, prepared, seconds, folder, log.parent)
        if labels is None:
            cells += [f"failed: {log.parent}", ""]
            continue
        right = np.asarray(labels == test.labels)
        p_value = compare(own, right, CONFIDENCE).p_value
        cells += [_accuracy(right), f"{p_value:.3f}" if p_value >= 0.001 else "< 0.001"]
    return f"| {' | '.join(cells)} |"


def _labels_of_peer(peer: str, prepared: Path, seconds: float, folder: Path, logs: Path) -> NDArray[Any] | None:
    """Return the labels that a peer predicts. If the peer fails, write its output to the logs and return None."""
    output = folder / "peer.npy"
    paths = os.pathsep.join([str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))])
    command = [sys.executable, str(ROOT / "benchmarks/small_peers.py"), peer, str(prepared), str(seconds), str(output)]
    environment = os.environ | {"PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        (logs / f"{folder.name}-{peer}.txt").write_text(done.stdout + done.stderr)
        return None
    labels: NDArray[Any] = np.load(output)
    return labels


def _accuracy(right: NDArray[np.bool_]) -> str:
    low, high = wilson_interval(int(right.sum()), len(right), CONFIDENCE)
    return f"{right.mean():.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    run_main(main)
