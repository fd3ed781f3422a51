"""What an epoch costs beyond its training steps: augmentation, validation, and the work after each epoch.

augmentation: Time of a training epoch with each augmentation, as a ratio to that without; alternating, in one process.
validation: Time per validation image, as a ratio to the time per training image. A forward pass alone is about 0.33.
after each epoch: Share of tracking, checkpoint and terminal output in all epochs of a training run of the stage
    `train`, with MLflow on SQLite. `tracking.py` measures the whole process, with its start and end.

The reference network is that of `training_speed.py`; the small one is the baseline of params.yaml.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from peer_data import FOLDER, ROOT, fashion
from results import publish
from table import machine, spread
from training_speed import BATCH, REFERENCE

from pipeline.backend.runtime import configure, start_backend
from pipeline.cnn.architecture import Architecture
from pipeline.cnn.candidate import Candidate
from pipeline.data.training_data import TrainingData
from pipeline.params.training import TrainingParams
from pipeline.params_file import validate
from pipeline.sections.load import load_params
from pipeline.terminal.console import run_main

AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "flip": {"flip": "horizontal"},
    "shift, rotate, zoom": {"shift": 0.1, "rotate": 10.0, "zoom": 0.1},
    "noise": {"noise": 0.1},
}
THREADS = 2


def main() -> None:
    """Measure, and publish the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder of the Fashion-MNIST IDX files")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    print(machine(), flush=True)
    start_backend()
    configure(THREADS)
    data = fashion(given.folder, 10_000, 5_000)
    params = load_params(ROOT / "params.yaml")
    networks = {"reference": REFERENCE, "small": Architecture.from_model(params.model, (28, 28, 1), 10)}
    rows, validation = [], []
    for name, architecture in networks.items():
        timed = _epochs(architecture, data)
        seconds: dict[str, list[float]] = {each: [] for each in timed}
        for _ in range(given.repeats):
            for each, epoch in timed.items():
                seconds[each].append(_seconds(epoch))
        for each in AUGMENTATIONS:
            ratios = [one / plain for one, plain in zip(seconds[each], seconds["none"], strict=True)]
            rows.append([name, each, spread([value * 1e6 / 10_000 for value in seconds[each]], 0), spread(ratios, 3)])
        shares = [2 * one / plain for one, plain in zip(seconds["validation"], seconds["none"], strict=True)]
        validation.append([name, spread(shares, 3)])
    publish("augmentation_cost", ["network", "augmentation", "µs per training image", "ratio"], rows)
    publish("validation_cost", ["network", "time per validation image, ratio to a training image"], validation)
    shares = [_share_after_epochs(REFERENCE, data, seed) for seed in range(1, given.repeats + 1)]
    publish("epoch_cost", ["work after each epoch, share of all epochs"], [[spread(shares, 4)]])


def _training(**changes: Any) -> TrainingParams:
    settings = load_params(ROOT / "params.yaml").training.model_dump(mode="json")
    augmentation = settings["augmentation"] | changes.pop("augmentation", {})
    fixed = {"batch_size": BATCH, "threads": THREADS, "augmentation": augmentation}
    return validate(TrainingParams, settings | fixed | changes, "training")


def _epochs(architecture: Architecture, data: TrainingData) -> dict[str, Callable[[], Any]]:
    """Return a function for a training epoch with each augmentation, and one for a validation epoch."""
    from pipeline.trainers.cache import make_trainer
    from pipeline.trainers.trainer import Plan

    order, ones, found = np.arange(len(data.train.labels)), np.ones(10, np.float32), dict[str, Callable[[], Any]]()
    for name, augmentation in AUGMENTATIONS.items():
        training = _training(augmentation=augmentation)
        plan = Plan(architecture, training, data.dataset, ones, 1, np.full(100_000, 1e-3, np.float32))
        trainer = make_trainer(plan)
        trainer.start(plan, None)
        found[name] = lambda trainer=trainer: trainer.train(data.train.images, data.train.labels, order)  # type: ignore[misc]
        found["validation"] = lambda trainer=trainer: trainer.evaluate(data.val.images, data.val.labels)  # type: ignore[misc]
    for epoch in found.values():
        epoch()  # the first one traces the graph
    return found


def _seconds(epoch: Callable[[], Any]) -> float:
    began = time.perf_counter()
    epoch()
    return time.perf_counter() - began


def _share_after_epochs(architecture: Architecture, data: TrainingData, seed: int) -> float:
    """Train in a tracked run, and return the share of the time that is spent after the epochs."""
    import pipeline.training.fit as training_loop
    from pipeline.tracking.tracked_training import train_and_track

    spent, fit = {"epochs": 0.0, "after": 0.0}, training_loop.fit

    def timed_fit(*arguments: Any, on_epoch: Callable[..., None], **more: Any) -> Any:
        def timed(metrics: Any, seconds: float, snapshot: Any) -> None:
            spent["epochs"] += seconds
            spent["after"] += _seconds(lambda: on_epoch(metrics, seconds, snapshot))

        return fit(*arguments, on_epoch=timed, **more)

    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ.pop("MLFLOW_TRACKING_URI", None)  # the database is in the folder
        training_loop.fit = timed_fit  # type: ignore[assignment]
        try:
            train_and_track(
                Candidate(architecture=architecture, training={}), _training(epochs=6, patience=None), data, seed,
                role="baseline", place=Path("baseline.yaml"), checkpoints=Path(folder), root=Path(folder),
            )  # fmt: skip
            assert list(Path(folder).rglob("mlflow.db"))
        finally:
            training_loop.fit = fit
            os.chdir(here)
    return spent["after"] / (spent["epochs"] + spent["after"])


if __name__ == "__main__":
    run_main(main)
