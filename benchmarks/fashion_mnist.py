"""Fashion-MNIST: one training run, and the whole pipeline in a given time. `--parts` selects the tables.

recipe: A fixed network and fixed training settings, chosen on validation images. The table shows the seconds from the
    start of the training, including the graphs but not the imports, until the test accuracy after an epoch reaches
    0.90, 0.92 and 0.93. The test images are only evaluated; the recipe does not depend on them.
pipeline: `fovea init --minutes` and `fovea run` in a fresh clone, from the IDX files to the registered network, once
    for each seed.

Needs the four IDX files of Fashion-MNIST.
"""

import argparse
import json
import re
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from peer_data import FOLDER, ROOT
from results import publish
from table import FOVEA, fresh_clone, spread

from pipeline import prepare
from pipeline.cnn.architecture import Architecture
from pipeline.data.dataset import read_dataset
from pipeline.data.split import Split, read_split
from pipeline.data.training_data import TrainingData
from pipeline.params import Block, Head, TrainingParams
from pipeline.params_file import validate
from pipeline.sections.load import load_params
from pipeline.terminal.console import run_main

GOALS = (0.90, 0.92, 0.93)
EPOCHS = 5
RECIPE = {
    "epochs": EPOCHS, "batch_size": 128, "optimizer": "adam", "learning_rate": 0.01, "schedule": "one_cycle",
    "average_weights": True, "patience": None, "threads": 2,
}  # fmt: skip
FILTERS = (32, 64, 128)  # of three blocks of two convolutions, each with batch normalization, ReLU and max pooling


def main() -> None:
    """Measure, and publish the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder of the Fashion-MNIST IDX files")
    parser.add_argument("--parts", nargs="+", choices=("recipe", "pipeline"), default=["recipe"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--minutes", type=float, default=60.0, help="time for the pipeline")
    given = parser.parse_args()
    if "recipe" in given.parts:
        _publish_recipe(given.folder, given.seeds)
    if "pipeline" in given.parts:
        _publish_pipeline([_run_pipeline(given.folder, given.minutes, seed) for seed in given.seeds], given.minutes)


def _run_pipeline(source: Path, minutes: float, seed: int) -> dict[str, float]:
    """Run all stages in a fresh clone, and return the figures of the run."""
    with tempfile.TemporaryDirectory() as folder:
        clone = fresh_clone(Path(folder))
        params = clone / "params.yaml"
        params.write_text(
            re.sub(r"(?m)^seed: \d+", f"seed: {seed}", params.read_text(encoding="utf-8")), encoding="utf-8"
        )
        began = time.perf_counter()
        for command in (["init", "--data", str(source), "--minutes", str(minutes)], ["run"]):
            subprocess.run([FOVEA, *command], cwd=clone, check=True)
        found = _read_figures(clone / "reports") | {"minutes taken": (time.perf_counter() - began) / 60}
    print(seed, found, flush=True)
    return found


def _read_figures(folder: Path) -> dict[str, float]:
    metrics, details, study = (
        json.loads((folder / name).read_text(encoding="utf-8"))
        for name in ("evaluate/metrics.json", "evaluate/details.json", "search/summary.json")
    )
    return {
        "trials": study["trials"],
        "parameters of the network": metrics["params"],
        "test accuracy": metrics["accuracy"],
        "minus that of the baseline": details["baseline_difference"],
        "p": details["baseline_p_value"],
    }


def _publish_pipeline(runs: list[dict[str, float]], minutes: float) -> None:
    digits = {
        "minutes taken": 1, "trials": 0, "parameters of the network": 0, "test accuracy": 4,
        "minus that of the baseline": 4,
    }  # fmt: skip
    cells = {column: spread([run[column] for run in runs], number) for column, number in digits.items()}
    significant = {"better": 0, "worse": 0}
    for run in runs:
        if run["p"] < 0.05:
            significant["better" if run["minus that of the baseline"] > 0 else "worse"] += 1
    cells["significantly better, worse than the baseline"] = "{better}, {worse}".format(**significant)
    publish("fashion_mnist_pipeline", ["minutes given", *cells], [[f"{minutes:g}", *cells.values()]])


def _publish_recipe(folder: Path, seeds: list[int]) -> None:
    params = load_params(ROOT / "params.yaml")
    source = params.data.model_copy(update={"source": f"idx:{folder}", "val_fraction": 0.1})
    with tempfile.TemporaryDirectory() as temporary:
        prepared = Path(temporary, "prepared")
        paths = prepare.Paths(prepared, Path(temporary, "reports"))
        prepare.run(params.model_copy(update={"data": source}), paths)
        dataset = read_dataset(prepared / "dataset.json")
        train, val, test = (read_split(prepared / name, name) for name in ("train", "val", "test"))
    training = validate(TrainingParams, params.training.model_dump(mode="json") | RECIPE, "recipe")
    block = Block(filters=FILTERS[0], convs=2, normalization="batch")
    blocks = tuple(block.model_copy(update={"filters": filters}) for filters in FILTERS)
    head = Head(kind="global_average")
    architecture = Architecture(input_shape=dataset.input_shape, classes=len(dataset.classes), blocks=blocks, head=head)
    data = TrainingData(dataset, train, val)
    curves = [_curve(architecture, training, data, test, seed) for seed in seeds]
    rows = []
    for goal in GOALS:
        reached = [next((seconds for seconds, accuracy in curve if accuracy >= goal), None) for curve in curves]
        times = [seconds for seconds in reached if seconds is not None]
        missed = len(reached) - len(times)
        rows.append([f"{goal:.2f}", spread(times, 1) if times else "", str(missed)])
    publish(
        "fashion_mnist_accuracy",
        ["test accuracy after the last epoch", "seconds"],
        [[spread([curve[-1][1] for curve in curves], 4), spread([curve[-1][0] for curve in curves], 1)]],
    )
    publish("fashion_mnist_recipe", ["test accuracy", "seconds", "seeds that did not reach it"], rows)


def _curve(
    architecture: Architecture, training: TrainingParams, data: TrainingData, test: Split, seed: int
) -> list[tuple[float, float]]:
    """Return the seconds of training up to the end of each epoch, and the test accuracy then."""
    from pipeline.backend.predictor import predict_probabilities
    from pipeline.backend.runtime import start_backend

    start_backend()
    from pipeline.trainers.cache import TRAINER_CACHE
    from pipeline.training.fit import fit

    TRAINER_CACHE.clear()
    curve, seconds, state = list[tuple[float, float]](), 0.0, None
    for epoch in range(1, training.epochs + 1):
        began = time.perf_counter()
        fitted = fit(architecture, training, data, seed=seed, state=state, until=epoch)
        seconds, state = seconds + time.perf_counter() - began, fitted.state
        predicted = predict_probabilities(fitted.model(), test.images, 256).argmax(axis=1)
        curve.append((seconds, float(np.mean(predicted == test.labels))))
        print(f"seed {seed}, epoch {epoch}: {seconds:5.1f} s, test accuracy {curve[-1][1]:.4f}", flush=True)
    return curve


if __name__ == "__main__":
    run_main(main)
