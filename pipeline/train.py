"""The stage train: the winning architecture, trained longer."""

import argparse
import csv
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cnn.candidate import Candidate, read_candidate
from pipeline.cnn.geometry import Geometry, Infeasible, describe
from pipeline.cnn.history import EpochMetrics, best_epoch
from pipeline.params import TrainingParams, load_params
from pipeline.terminal import UserError, run_main, say

if TYPE_CHECKING:
    from pipeline.data.dataset import Dataset
    from pipeline.tracking import RunRecord

_COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "val_macro_f1", "learning_rate")


def run(
    params: TrainingParams,
    seed: int,
    *,
    candidate_path: Path,
    dataset_path: Path,
    train: Path,
    val: Path,
    model_path: Path,
    reports: Path,
    checkpoints: Path,
    root: Path = Path("."),
) -> None:
    """Train the candidate; write the network, its history, curves, figures and run record.

    After each epoch the training's state goes to `checkpoints`. A training that was killed goes on from there, and
    gives the same bytes as one that was not.

    Args:
        params: training settings; those that the candidate was found with take their place.
        seed: of everything random.
        candidate_path: models/architecture.yaml.
        dataset_path: dataset.json.
        train: folder of the training split.
        val: folder of the validation split.
        model_path: where the network goes.
        reports: folder of the reports; replaced as a whole.
        checkpoints: folder of the states of unfinished trainings.
        root: the repository's root.

    Raises:
        UserError: a file is missing or breaks a rule, the architecture does not fit the data, or training diverges.
    """
    candidate = read_candidate(candidate_path)
    training = candidate.overlay(params)

    from pipeline.data.dataset import read_dataset

    dataset = read_dataset(dataset_path)
    geometry = _require_fit(candidate, dataset, candidate_path)

    from pipeline.data.split import read_split

    train_split, val_split = read_split(train, "train"), read_split(val, "val")

    from pipeline.cnn.runtime import start_backend

    start_backend()
    from pipeline.cnn.checkpoint import read_checkpoint, remove_checkpoint, write_checkpoint
    from pipeline.cnn.curves import write_curves
    from pipeline.cnn.fit import Diverged, fit
    from pipeline.cnn.identity import training_key
    from pipeline.cnn.keras_file import save_model
    from pipeline.cnn.state import StateError, unpack
    from pipeline.tracking import track, write_record

    key = training_key(candidate.architecture, training, dataset, train_split, val_split, seed)
    checkpoint = checkpoints / f"{key}.npz"
    state = read_checkpoint(checkpoint)
    earlier: tuple[EpochMetrics, ...] = ()
    if state is not None:
        try:
            earlier = unpack(state).history
            say(f"going on after epoch {len(earlier)} of {training.epochs}")
        except StateError:
            say(f"{checkpoint}: damaged; starting afresh")
            state = None
    record = _record(key, candidate, training, dataset, geometry, seed)
    with track(record, root) as live, _told(training.epochs, len(earlier)) as tell:
        for entry in earlier:
            live.log(_figures(entry), entry.epoch)

        def on_epoch(metrics: EpochMetrics, seconds: float, snapshot: Callable[[], bytes]) -> None:
            write_checkpoint(snapshot(), checkpoint)
            live.log(_figures(metrics), metrics.epoch)
            speed = {"images_per_second": len(train_split.labels) / seconds, "epoch_seconds": seconds}
            live.log(speed, metrics.epoch, volatile=True)
            tell(metrics, seconds)

        try:
            fitted = fit(
                candidate.architecture,
                training,
                dataset,
                train_split,
                val_split,
                seed=seed,
                state=state,
                on_epoch=on_epoch,
            )
        except Diverged as error:
            remove_checkpoint(checkpoint)
            raise UserError(f"{candidate_path}: training diverged: {error}") from None
        figures = _summary(fitted.history, geometry)
        with _replaced(reports) as folder:
            _write_history(fitted.history, folder / "history.csv")
            write_curves(fitted.history, folder / "curves.png")
            (folder / "train.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        live.log(
            {"best_" + name: value for name, value in figures.items() if name.startswith("val_")}, len(fitted.history)
        )
        live.log({name: figures[name] for name in ("best_epoch", "params")}, len(fitted.history))
        live.log({"macs": float(geometry.macs)}, len(fitted.history))
        for name in ("curves.png", "history.csv"):
            live.artifact(reports / name)
        if fitted.stopped_early:
            live.tag("stopped_early", f"no progress for {training.patience} epochs")
        save_model(fitted.model(), model_path, dataset.classes)
    write_record(live.record, reports / "run.json")
    remove_checkpoint(checkpoint)
    say(
        f"best epoch {fitted.best_epoch} of {len(fitted.history)}: val_accuracy {figures['val_accuracy']:.4f}, "
        f"val_loss {figures['val_loss']:.4f}; wrote {model_path}"
    )


def _require_fit(candidate: Candidate, dataset: "Dataset", path: Path) -> Geometry:
    architecture = candidate.architecture
    told = (architecture.input_shape, architecture.classes)
    asked = (tuple(dataset.input_shape), len(dataset.classes))
    if told != asked:
        raise UserError(
            f"{path}: architecture must have the data's input_shape {list(asked[0])} and {asked[1]} classes, "
            f"got {list(told[0])} and {told[1]}; run the search again"
        )
    try:
        return describe(architecture)
    except Infeasible as error:
        raise UserError(f"{path}: {error}") from None


def _record(
    key: str, candidate: Candidate, training: TrainingParams, dataset: "Dataset", geometry: Geometry, seed: int
) -> "RunRecord":
    from pipeline.digest import digest
    from pipeline.tracking import RunRecord

    settings = training.model_dump(mode="json")
    augmentation = settings.pop("augmentation")
    digests = {name: dataset.digests[name] for name in ("train", "val")}
    tags = {"architecture": candidate.architecture.digest}
    found = "written by hand"
    if candidate.origin is not None:
        tags |= {"study": candidate.origin.study, "trial": str(candidate.origin.trial)}
        found = f"found by trial {candidate.origin.trial} of {candidate.origin.study}"
    return RunRecord(
        kind="training",
        key=key,
        name=f"train {dataset.name} {candidate.architecture.digest[:6]}",
        params={
            **{f"training.{name}": value for name, value in settings.items()},
            **{f"training.augmentation.{name}": value for name, value in augmentation.items()},
            "params": geometry.params,
            "macs": geometry.macs,
            "seed": seed,
        },
        tags=tags,
        texts={"architecture.yaml": candidate.architecture.to_yaml()},
        description=(
            f"Training of an architecture {found} on **{dataset.name}**: {geometry.params:,} parameters, "
            f"{geometry.macs:,} multiply-accumulates per image, {training.epochs} epochs at most. "
            "The network keeps the weights of the epoch with the best validation accuracy."
        ),
        dataset={"name": dataset.name, "digest": digest(digests), "source": dataset.name, "contexts": digests},
    )


def _figures(metrics: EpochMetrics) -> dict[str, float]:
    return {name: float(value) for name, value in asdict(metrics).items() if name != "epoch"}


def _summary(history: Sequence[EpochMetrics], geometry: Geometry) -> dict[str, float | int]:
    best = history[best_epoch(history) - 1]
    return {
        "val_accuracy": best.val_accuracy,
        "val_loss": best.val_loss,
        "best_epoch": best.epoch,
        "epochs": len(history),
        "params": geometry.params,
    }


def _write_history(history: Sequence[EpochMetrics], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(entry) for entry in history)


@contextmanager
def _replaced(folder: Path) -> Iterator[Path]:
    """A new folder that takes the place of `folder` when the block ends well."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        made = Path(temporary, folder.name)
        made.mkdir()
        yield made
        shutil.rmtree(folder, ignore_errors=True)
        made.replace(folder)


@contextmanager
def _told(epochs: int, done: int) -> Iterator[Callable[[EpochMetrics, float], None]]:
    """A function that tells the user of each epoch: above a progress bar on a terminal, as plain lines elsewhere."""
    import sys

    def line(metrics: EpochMetrics, seconds: float) -> str:
        return (
            f"epoch {metrics.epoch}/{epochs}  loss {metrics.loss:.4f}  val_loss {metrics.val_loss:.4f}  "
            f"val_accuracy {metrics.val_accuracy:.4f}  {seconds:.2f} s"
        )

    if not sys.stderr.isatty():
        yield lambda metrics, seconds: say(line(metrics, seconds))
        return
    from rich.console import Console  # only a terminal needs it
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("train", total=epochs, completed=done)

        def tell(metrics: EpochMetrics, seconds: float) -> None:
            bar.console.print(line(metrics, seconds), highlight=False)
            bar.update(task, completed=metrics.epoch)

        yield tell


def main(prog: str = "python -m pipeline.train") -> None:
    """Check all of params.yaml, then train."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: params.yaml")
    parser.add_argument("--architecture", type=Path, default=Path("models/architecture.yaml"), help="the candidate")
    parser.add_argument("--dataset", type=Path, default=Path("data/prepared/dataset.json"), help="what prepare told")
    parser.add_argument("--train", type=Path, default=Path("data/prepared/train"), help="folder of the training split")
    parser.add_argument("--val", type=Path, default=Path("data/prepared/val"), help="folder of the validation split")
    parser.add_argument("--model", type=Path, default=Path("models/model.keras"), help="where the network goes")
    parser.add_argument("--reports", type=Path, default=Path("reports/train"), help="folder of the reports")
    parser.add_argument(
        "--checkpoints", type=Path, default=Path("studies/train"), help="states of unfinished trainings"
    )
    arguments = parser.parse_args()
    params = load_params(arguments.params)
    run(
        params.training,
        params.seed,
        candidate_path=arguments.architecture,
        dataset_path=arguments.dataset,
        train=arguments.train,
        val=arguments.val,
        model_path=arguments.model,
        reports=arguments.reports,
        checkpoints=arguments.checkpoints,
    )


if __name__ == "__main__":
    run_main(main)
