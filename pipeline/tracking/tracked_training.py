"""Train a candidate in a tracked run, with a checkpoint after each epoch."""

import csv
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.backbones.check import check_backbone
from pipeline.cnn.candidate import Candidate
from pipeline.cnn.geometry import Geometry, Infeasible, compute_geometry
from pipeline.description.flat_values import architecture_values
from pipeline.description.notation import in_words, run_name
from pipeline.errors import UserError, plural
from pipeline.evaluation.choice import Role
from pipeline.params import TrainingParams
from pipeline.params.search import QUALITIES
from pipeline.terminal.progress import lines_with_bar
from pipeline.training.history import EpochMetrics, best_epoch

if TYPE_CHECKING:
    from pipeline.data.dataset import Dataset
    from pipeline.data.training_data import TrainingData
    from pipeline.tracking.live import LiveRun
    from pipeline.tracking.record import RunRecord
    from pipeline.training.checkpoint import Checkpoint

_LOGGER = logging.getLogger(__name__)

_COLUMNS = tuple(field.name for field in fields(EpochMetrics))


class TrainingDiverged(UserError):
    """The loss of a training run is not finite."""


@dataclass(frozen=True)
class TrainedNetwork:
    """Result of a training run.

    Attributes:
        candidate: The trained candidate.
        history: Metrics of every epoch.
        metrics: Metrics of the best epoch, and the cost.
        model: Network with the weights of the best epoch.
        live: Run of the training, which has ended.
        checkpoint: The state after the last epoch, from which the training resumes if the stage is rerun.
    """

    candidate: Candidate
    history: tuple[EpochMetrics, ...]
    metrics: dict[str, float | int]
    model: Any
    live: "LiveRun"
    checkpoint: "Checkpoint"

    def write_reports(self, folder: Path) -> None:
        """Write history.csv, curves.png and train.json to a folder."""
        from pipeline.plots.training import write_curves

        _write_history(self.history, folder / "history.csv")
        write_curves(self.history, folder / "curves.png")
        metrics = {name: value for name, value in self.metrics.items() if name != "params"}  # the evaluation writes it
        (folder / "train.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")


def train_and_track(
    candidate: Candidate,
    params: TrainingParams,
    data: "TrainingData",
    seed: int,
    *,
    role: Role,
    place: Path,
    checkpoints: Path,
    root: Path,
) -> TrainedNetwork:
    """Train a candidate in a run of its own, with a checkpoint after each epoch.

    A training run that was killed resumes from its checkpoint, with the same result as an uninterrupted one. The
    checkpoint is kept until the end of the stage, so that a finished training run is not repeated if the stage is
    killed later.

    Args:
        candidate: Architecture, and settings that override those of `params`.
        params: Section `training` of params.yaml.
        data: The splits to train and validate on.
        seed: Seed of all random numbers.
        role: Role of the candidate, which is part of the run's name.
        place: File of the candidate, for error messages.
        checkpoints: Folder for the checkpoints of unfinished training runs.
        root: Root folder of the repository.

    Raises:
        UserError: The architecture does not match the data.
        TrainingDiverged: The loss is not finite.
    """
    training = candidate.overlay(params)
    geometry = require_fit(candidate, data.dataset, place)

    from pipeline.backend.precision import compute_dtype
    from pipeline.tracking.live import track
    from pipeline.training.checkpoint import Checkpoint
    from pipeline.training.fingerprint import training_key
    from pipeline.training.fit import Diverged, fit

    key = training_key(candidate.architecture, training, data, seed)
    checkpoint = Checkpoint(checkpoints / f"{key}.npz", key)
    state, earlier = checkpoint.read()
    if earlier:
        _LOGGER.info(f"resuming after epoch {len(earlier)} of {training.epochs}")
    record = _record(key, role, candidate, training, data.dataset, geometry, seed)
    with track(record, root) as live, lines_with_bar("train", training.epochs, len(earlier)) as show:
        for entry in earlier:
            live.log(_metrics(entry), entry.epoch)

        def on_epoch(metrics: EpochMetrics, seconds: float, snapshot: Callable[[], bytes]) -> None:
            checkpoint.write(snapshot())
            live.log(_metrics(metrics), metrics.epoch)
            speed = {"images_per_second": len(data.train.labels) / seconds, "epoch_seconds": seconds}
            live.log(speed, metrics.epoch, volatile=True)
            show(_line(metrics, training.epochs, seconds), metrics.epoch)

        try:
            fitted = fit(candidate.architecture, training, data, seed=seed, state=state, on_epoch=on_epoch)
        except Diverged as error:
            checkpoint.remove()
            raise TrainingDiverged(f"{place}: training diverged: {error}") from None
        metrics = _summary(fitted.history, geometry)
        last = len(fitted.history)
        live.log({"best_" + name: value for name, value in metrics.items() if name.startswith("val_")}, last)
        live.log({name: metrics[name] for name in ("best_epoch", "params")}, last)
        live.log({"macs": float(geometry.macs)}, last)
        live.tag("compute_dtype", dtype := compute_dtype(training.precision, geometry))
        if training.patience is not None and fitted.stopped_early:
            live.tag("stopped_early", f"no improvement for {training.patience} {plural(training.patience, 'epoch')}")
    _LOGGER.info(
        f"best epoch {fitted.best_epoch} of {last}: val_accuracy {metrics['val_accuracy']:.4f}, "
        f"val_loss {metrics['val_loss']:.4f}; computed in {dtype}"
    )
    return TrainedNetwork(candidate, fitted.history, metrics, fitted.model(), live, checkpoint)


def require_fit(candidate: Candidate, dataset: "Dataset", path: Path) -> Geometry:
    """Return the geometry of a candidate.

    Raises:
        UserError: The architecture does not match the data, or its backbone cannot be used.
    """
    architecture = candidate.architecture
    expected = (architecture.input_shape, architecture.classes)
    required = (tuple(dataset.input_shape), len(dataset.classes))
    if expected != required:
        raise UserError(
            f"{path}: architecture must have the data's input_shape {list(required[0])} and {required[1]} classes, "
            f"got {list(expected[0])} and {expected[1]}; rerun the search"
        )
    try:
        geometry = compute_geometry(architecture)
    except Infeasible as error:
        raise UserError(f"{path}: {error}") from None
    if architecture.backbone is not None:
        check_backbone(architecture.backbone, dataset)
    return geometry


def _record(
    key: str, role: Role, candidate: Candidate, training: TrainingParams, dataset: "Dataset", geometry: Geometry,
    seed: int,
) -> "RunRecord":  # fmt: skip
    from pipeline.digest import digest
    from pipeline.tracking.record import RunRecord

    settings = training.model_dump(mode="json")
    augmentation = settings.pop("augmentation")
    digests = {name: dataset.digests[name] for name in ("train", "val")}
    tags = {"architecture": candidate.architecture.digest}
    title, subject = f"train {role}", "Training of the baseline architecture from params.yaml"
    if candidate.origin is not None:
        tags |= {"study": candidate.origin.study, "trial": str(candidate.origin.trial)}
        title += f", trial {candidate.origin.trial}"
        subject = f"Training of the architecture of trial {candidate.origin.trial} of study {candidate.origin.study}"
    return RunRecord(
        kind="training",
        key=key,
        name=run_name(f"{title}: {in_words(candidate)}"),
        params={
            **{f"architecture.{name}": value for name, value in architecture_values(candidate.architecture).items()},
            **{f"training.{name}": value for name, value in settings.items()},
            **{f"training.augmentation.{name}": value for name, value in augmentation.items()},
            "params": geometry.params,
            "macs": geometry.macs,
            "seed": seed,
        },
        tags=tags,
        texts={"architecture.yaml": candidate.architecture.to_yaml()},
        description=(
            f"{subject} on **{dataset.name}**: {geometry.params:,} parameters, {geometry.macs:,} multiply-accumulate "
            f"operations per image, at most {training.epochs} epochs. "
            f"The network keeps the weights of the epoch with the best validation accuracy.\n\n{in_words(candidate)}"
        ),
        dataset={"name": dataset.name, "digest": digest(digests), "source": dataset.name, "contexts": digests},
    )


def _metrics(metrics: EpochMetrics) -> dict[str, float]:
    return {name: float(value) for name, value in asdict(metrics).items() if name != "epoch"}


def _summary(history: Sequence[EpochMetrics], geometry: Geometry) -> dict[str, float | int]:
    best = history[best_epoch(history) - 1]
    return {
        **{name: getattr(best, name) for name in QUALITIES},
        "best_epoch": best.epoch,
        "epochs": len(history),
        "params": geometry.params,
    }


def _write_history(history: Sequence[EpochMetrics], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(entry) for entry in history)


def _line(metrics: EpochMetrics, epochs: int, seconds: float) -> str:
    """Format the metrics of an epoch for the terminal."""
    return (
        f"epoch {metrics.epoch}/{epochs}  loss {metrics.loss:.4f}  val_loss {metrics.val_loss:.4f}  "
        f"val_accuracy {metrics.val_accuracy:.4f}  {seconds:.2f} s"
    )
