"""Number of optimizer steps after which the validation accuracy predicts the final ranking of candidates.

Draws candidates from the space of params.yaml and trains each of them to the end on the digits or a subset of them. For
each number of steps, prints the rank correlation with the final validation accuracy, and the fraction of the final best
third that is in the better two thirds at that point, which a pruner would keep.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from table import machine

from pipeline import prepare
from pipeline.data.dataset import read_dataset
from pipeline.data.split import make_split, read_split
from pipeline.data.training_data import TrainingData
from pipeline.sections.load import load_params
from search.estimate.precheck import RandomDraws
from search.space.draw import propose
from search.space.feasibility import check_feasibility


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=24, help="number of candidates (default: %(default)s)")
    parser.add_argument("--images", type=int, nargs="+", default=[120, 1200], help="numbers of training images")
    parser.add_argument("--steps", type=int, default=360, help="optimizer steps per training (default: %(default)s)")
    given = parser.parse_args()
    params = load_params(Path("params.yaml"))
    from pipeline.backend.runtime import start_backend

    start_backend()
    from pipeline.training.fit import fit

    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder, "prepared")
        prepare.run(params, prepare.Paths(prepared, Path(folder, "reports")))
        dataset = read_dataset(prepared / "dataset.json")
        train, val = (read_split(prepared / name, name) for name in ("train", "val"))
    draws, found = RandomDraws(params.seed), []
    while len(found) < given.candidates:
        candidate = propose(draws, params.search.space, params.model, dataset.input_shape, len(dataset.classes))
        if not check_feasibility(candidate, params.search.budget).violations:
            found.append(candidate)
    for images in given.images:
        part = make_split("train", train.images[:images], train.labels[:images])
        per_epoch = -(-len(part.labels) // params.training.batch_size)
        epochs = given.steps // per_epoch
        short = params.training.model_copy(update={"epochs": epochs, "patience": None})
        curves = np.array([
            [
                epoch.val_accuracy
                for epoch in fit(
                    each.architecture, each.overlay(short), TrainingData(dataset, part, val), seed=params.seed
                ).history
            ]
            for each in found
        ])  # fmt: skip
        last = curves[:, -1]
        best = last >= np.quantile(last, 2 / 3)
        print(f"{images} images, {per_epoch} steps per epoch; final accuracy {last.min():.3f} to {last.max():.3f}")
        for steps in (2, 5, 10, 20, 40, 60, 80, 120, 180):
            epoch = steps // per_epoch
            if epoch < 1:
                continue
            now = curves[:, epoch - 1]
            passing = now >= np.quantile(now, 1 / 3)
            top = now >= np.quantile(now, 2 / 3)
            passed, led = (passing & best).sum() / best.sum(), (top & best).sum() / best.sum()
            print(
                f"  {epoch * per_epoch:4} steps: rank correlation {spearmanr(now, last).statistic:.2f}; of the final "
                f"best third, {passed:.0%} are in the better two thirds and {led:.0%} in the best third",
                flush=True,
            )


if __name__ == "__main__":
    main()
