"""Validation accuracy with `precision: auto` and with float32: the same training runs, with the same seeds.

Two networks, trained on part of the Fashion-MNIST training files. `auto` is float32 on processors without bfloat16
instructions; then there is nothing to compare.
"""

import argparse
from pathlib import Path

from peer_data import FOLDER, ROOT, fashion
from results import publish
from table import difference, machine, spread
from training_speed import REFERENCE

from pipeline.backend.runtime import start_backend
from pipeline.cnn.architecture import Architecture
from pipeline.cnn.geometry import compute_geometry
from pipeline.data.training_data import TrainingData
from pipeline.params import Head
from pipeline.params.training import TrainingParams
from pipeline.params_file import validate
from pipeline.sections.load import load_params
from pipeline.terminal.console import run_main

PLAIN = Architecture(
    input_shape=(28, 28, 1),
    classes=10,
    blocks=tuple(
        block.model_copy(update={"normalization": "none", "convs": 2, "dropout": 0.2}) for block in REFERENCE.blocks[:2]
    ),
    head=Head(dense=(64,)),
)
NETWORKS = {
    "reference network, batch normalization": REFERENCE,
    "two blocks of two convolutions, dropout, no normalization": PLAIN,
}


def main() -> None:
    """Train, and publish the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder of the Fashion-MNIST IDX files")
    parser.add_argument("--train", type=int, default=20_000, help="number of training images")
    parser.add_argument("--val", type=int, default=5_000, help="number of validation images")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    given = parser.parse_args()
    start_backend()
    from pipeline.backend.precision import compute_dtype

    if any(compute_dtype("auto", compute_geometry(each)) != "bfloat16" for each in NETWORKS.values()):
        print("precision: `auto` is float32 on this device, so there is nothing to compare")
        return
    print(machine(), flush=True)
    data, rows = fashion(given.folder, given.train, given.val), []
    for name, architecture in NETWORKS.items():
        found: dict[str, list[float]] = {"float32": [], "auto": []}
        for seed in given.seeds:
            for precision, accuracies in found.items():
                accuracies.append(_accuracy(architecture, precision, given.epochs, data, seed))
                print(f"{name}, seed {seed}, {precision}: {accuracies[-1]:.4f}", flush=True)
        differences = [one - other for one, other in zip(found["auto"], found["float32"], strict=True)]
        rows.append([name, spread(found["float32"], 4), spread(found["auto"], 4), difference(differences)])
    publish("precision", ["network", "float32", "auto", "mean difference ± standard error"], rows)


def _accuracy(architecture: Architecture, precision: str, epochs: int, data: TrainingData, seed: int) -> float:
    from pipeline.training.fit import fit

    settings = load_params(ROOT / "params.yaml").training.model_dump(mode="json")
    changes = {"epochs": epochs, "patience": None, "precision": precision, "threads": 2, "batch_size": 128}
    training = validate(TrainingParams, settings | changes, "training")
    return fit(architecture, training, data, seed=seed).history[-1].val_accuracy


if __name__ == "__main__":
    run_main(main)
