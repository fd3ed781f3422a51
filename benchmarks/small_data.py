"""`fovea init`, `fovea run` on small data sets, against a plain Keras script and KerasTuner.

Needs `pip install keras-tuner tensorboard` beside the lock file (KerasTuner imports tensorboard without requiring it)
and the files of Fashion-MNIST. Each set is made in a folder of its own and learned in a fresh clone of this repository,
by two commands and nothing else. KerasTuner then has the wall time of these two commands. All answer the same test
images, once, when all choices are made; `p` is McNemar's, of Fovea against the peer.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peer_data import ROOT
from ruamel.yaml import YAML
from small_peers import PEERS
from small_sets import SETS, SmallSet
from table import machine

from pipeline.data.split import read_split
from pipeline.judge.comparison import compare
from pipeline.judge.metrics import wilson_interval
from pipeline.terminal import UserError, run_main

CONFIDENCE = 0.95
FOVEA = [str(Path(sys.executable).with_name("fovea"))]


def main() -> None:
    """Run all sets, print the table and what is lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=[each.name for each in SETS], default=[each.name for each in SETS])
    parser.add_argument("--peers", nargs="*", choices=tuple(PEERS), default=list(PEERS))
    parser.add_argument("--logs", type=Path, help="keep what the commands print here")
    given = parser.parse_args()
    if "KerasTuner" in given.peers and any(find_spec(name) is None for name in ("keras_tuner", "tensorboard")):
        raise UserError(
            "benchmarks/small_data.py needs the Python packages keras-tuner and tensorboard, which are not installed; "
            "pip install keras-tuner tensorboard"
        )
    print(machine())
    print("| data | train, val, test | minutes | Fovea | " + " | ".join(f"{peer} | p" for peer in given.peers) + " |")
    print("| --- | --- | --- | --- |" + " --- | --- |" * len(given.peers), flush=True)
    for chosen in SETS:
        if chosen.name in given.sets:
            with tempfile.TemporaryDirectory() as folder:
                print(_row(chosen, Path(folder), given.peers, given.logs), flush=True)


def _row(chosen: SmallSet, folder: Path, peers: list[str], logs: Path | None) -> str:
    """A set's row: sizes, minutes, accuracies with intervals, p-values."""
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    _set(clone / "params.yaml", chosen)
    source = chosen.make(folder / "images")
    log = (logs or folder).resolve() / f"{chosen.name.replace(' ', '-').replace('/', '')}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    with log.open("w", encoding="utf-8") as output:
        for command in (["init", "--data", source], ["run"]):
            done = subprocess.run([*FOVEA, *command], cwd=clone, stdout=output, stderr=subprocess.STDOUT, check=False)
            if done.returncode:
                return f"| {chosen.name} | fovea {command[0]} gave {done.returncode}: {log} |"
    seconds = time.perf_counter() - began
    prepared = clone / "data/prepared"
    sizes = [len(read_split(prepared / name, name).labels) for name in ("train", "val", "test")]
    test = read_split(prepared / "test", "test")
    own = np.asarray(_labels_of_fovea(clone) == test.labels)
    cells = [chosen.name, ", ".join(map(str, sizes)), f"{seconds / 60:.1f}", _accuracy(own)]
    for peer in peers:
        right = np.asarray(_labels_of_peer(peer, prepared, seconds, folder) == test.labels)
        cells += [_accuracy(right), f"{compare(own, right, CONFIDENCE).p_value:.3f}"]
    return f"| {' | '.join(cells)} |"


def _set(params: Path, chosen: SmallSet) -> None:
    """Set what describes a generated set."""
    yaml = YAML()
    yaml.width = 4096
    content = yaml.load(params.read_text(encoding="utf-8"))
    for key, value in chosen.settings.items():
        *sections, last = key.split(".")
        place = content
        for section in sections:
            place = place[section]
        place[last] = value
    with params.open("w", encoding="utf-8") as stream:
        yaml.dump(content, stream)


def _labels_of_fovea(clone: Path) -> NDArray[Any]:
    """The labels that the trained network predicts, in a process of its own."""
    code = (
        "import sys, numpy, keras; from pipeline.data.split import read_split; "
        "model = keras.saving.load_model('models/model.keras'); test = read_split(__import__('pathlib').Path"
        "('data/prepared/test'), 'test'); "
        "numpy.save(sys.argv[1], model.predict(test.images, verbose=0).argmax(axis=1))"
    )
    answers = clone.parent / "fovea.npy"
    subprocess.run([sys.executable, "-c", code, str(answers)], cwd=clone, check=True, capture_output=True)
    labels: NDArray[Any] = np.load(answers)
    measured = json.loads((clone / "reports/evaluate/metrics.json").read_text(encoding="utf-8"))["accuracy"]
    found = float((labels == read_split(clone / "data/prepared/test", "test").labels).mean())
    if abs(measured - found) > 1e-3:
        raise UserError(f"the evaluation says {measured}, the network in models/ {found}: they must agree")
    return labels


def _labels_of_peer(peer: str, prepared: Path, seconds: float, folder: Path) -> NDArray[Any]:
    answers = folder / "peer.npy"
    paths = os.pathsep.join([str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))])
    command = [sys.executable, str(ROOT / "benchmarks/small_peers.py"), peer, str(prepared), str(seconds), str(answers)]
    environment = os.environ | {"PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "2"}
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=environment)
    labels: NDArray[Any] = np.load(answers)
    return labels


def _accuracy(right: NDArray[np.bool_]) -> str:
    low, high = wilson_interval(int(right.sum()), len(right), CONFIDENCE)
    return f"{right.mean():.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    run_main(main)
