"""Do finalists pay? The best trial of a study against the winner among its finalists, trained again with new seeds.

The trainings of the finalists decide between the best trials. Here, if the two differ, both are trained with further
seeds, which had no part in the decision. `difference` is the mean validation accuracy of the winner minus that of the
best trial; 0 if they are the same.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path
from statistics import fmean

import numpy as np
from default_study import read_results, set_seed
from dvc.utils.hydra import apply_overrides
from results import publish
from table import FOVEA, fresh_clone, spread

from pipeline.backend.runtime import start_backend
from pipeline.cnn.candidate import read_candidate
from pipeline.data.dataset import read_dataset
from pipeline.data.split import read_split
from pipeline.data.training_data import TrainingData
from pipeline.sections.load import load_params
from pipeline.terminal.console import run_main
from search.study.config import study_config
from search.study.results import TrialResult, ranked
from search.study.rungs import shares

FIRST_SEED = 1_000


def main() -> None:
    """Run the studies, train the networks again, and publish the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="data for `fovea init` (default: the default study on the digits)")
    parser.add_argument("--set", nargs="*", default=[], help="settings, such as data.limit=5000 search.trials=20")
    parser.add_argument("--name", default="digits", help="name of the data, for the table")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="seeds of the studies")
    parser.add_argument("--trainings", type=int, default=5, help="further trainings of each network")
    given = parser.parse_args()
    if not given.name.isidentifier():
        parser.error(f"--name: must consist of letters, digits and underscores, got {given.name}")
    start_backend()
    rows, differences = [], []
    for seed in given.seeds:
        with tempfile.TemporaryDirectory() as folder:
            row, difference = _compare(fresh_clone(Path(folder)), given, seed)
        rows.append([str(seed), *row])
        differences.append(difference)
        print(rows[-1], flush=True)
    rows.append(["median (spread)", "", "", "", spread(differences, 4)])
    columns = ["seed", "best trial", "winner", "epochs for the finalists", "difference"]
    publish(f"finalists_{given.name}", columns, rows)


def _compare(clone: Path, given: argparse.Namespace, seed: int) -> tuple[list[str], float]:
    if given.data is not None:
        subprocess.run([FOVEA, "init", "--data", given.data], cwd=clone, check=True, capture_output=True)
    set_seed(clone / "params.yaml", seed)
    apply_overrides(clone / "params.yaml", given.set)
    subprocess.run([FOVEA, "run", "search"], cwd=clone, check=True, capture_output=True)
    results, means = read_results(clone)
    best = ranked(list(results.values()), "val_accuracy")[0]
    chosen = read_candidate(clone / "models/architecture.yaml").origin
    assert chosen is not None
    winner = results[chosen.trial]
    difference = 0.0
    if winner.number != best.number:
        difference = _mean_accuracy(clone, winner, given.trainings) - _mean_accuracy(clone, best, given.trainings)
    search = load_params(clone / "params.yaml").search
    repeated = len(means) * search.finalists.seeds * search.epochs
    return [f"{best.number}", f"{winner.number}", str(repeated), f"{difference:+.4f}"], difference


def _mean_accuracy(clone: Path, result: TrialResult, trainings: int) -> float:
    from pipeline.training.fit import fit

    prepared = clone / "data/prepared"
    train, val = (read_split(prepared / name, name) for name in ("train", "val"))
    data = TrainingData(read_dataset(prepared / "dataset.json"), train, val)
    config = study_config(load_params(clone / "params.yaml"), data.dataset)
    training, used = result.candidate.overlay(config.training), shares(config.rungs)
    seeds = np.arange(FIRST_SEED, FIRST_SEED + trainings)
    architecture = result.candidate.architecture
    runs = (fit(architecture, training, data, seed=int(seed), shares=used) for seed in seeds)
    return fmean(run.history[-1].val_accuracy for run in runs)


if __name__ == "__main__":
    run_main(main)
