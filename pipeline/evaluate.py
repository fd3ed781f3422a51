"""Stage evaluate: judge the trained network on the test split."""

import argparse
import csv
import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.digest import digest
from pipeline.params import EvaluateParams, load_params
from pipeline.terminal import UserError, run_main, say

if TYPE_CHECKING:
    from pipeline.data.dataset import Dataset
    from pipeline.judge.metrics import Answers

PICTURES = ("confusion.png", "calibration.png", "mistakes.png")
TABLES = ("metrics.json", "classes.csv")


def run(
    params: EvaluateParams,
    threads: int,
    model_path: Path,
    test_folder: Path,
    dataset_path: Path,
    training_record: Path,
    reports: Path,
    root: Path = Path("."),
) -> None:
    """Write figures, tables and pictures of the network's answers to `reports`, which is replaced as a whole.

    Args:
        params: how to judge.
        threads: processor threads; the last bits of a figure can follow from their number.
        model_path: the trained network.
        test_folder: the test split.
        dataset_path: dataset.json.
        training_record: run.json of the training, whose run carries the evaluation.
        reports: where the outputs go.
        root: the repository's root.

    Raises:
        UserError: a file is missing or damaged, or the network does not fit the data.
    """
    from pipeline.cnn.runtime import configure, start_backend
    from pipeline.data.dataset import read_dataset
    from pipeline.data.split import read_split
    from pipeline.tracking import RunRecord, read_record, track, write_record

    dataset = read_dataset(dataset_path)
    test = read_split(test_folder, "test")
    training = read_record(training_record)

    start_backend()
    configure(threads)
    from pipeline.cnn.inference import predict_probabilities
    from pipeline.cnn.keras_file import load_model, model_digest
    from pipeline.judge.metrics import Answers

    model = load_model(model_path)
    require_fit(model, dataset, model_path)
    answers = Answers(predict_probabilities(model, test.images, params.batch_size), test.labels)
    identity = {"model_digest": model_digest(model), "test_digest": test.digest}
    record = RunRecord(
        kind="evaluation",
        key=digest("evaluation", identity, list(dataset.classes), params.model_dump(mode="json")),
        name=f"evaluate {dataset.name}",
        parent=training.key,
        params={f"evaluate.{name}": value for name, value in params.model_dump(mode="json").items()},
        tags=identity,
        dataset={"name": dataset.name, "digest": test.digest, "source": dataset.name, "contexts": ["test"]},
    )
    with track(record, root) as live:
        reports.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=reports.parent, prefix=".evaluating-") as folder:
            written = Path(folder, "evaluate")
            written.mkdir()
            metrics = _write(params, answers, test.images, dataset.classes, written)
            if reports.exists():
                shutil.rmtree(reports)
            written.replace(reports)
        live.log({f"test_{name}": value for name, value in metrics.items()}, step=0)
        for name in (*PICTURES, *TABLES):
            live.artifact(reports / name)
    write_record(live.record, reports / "run.json")
    say(
        f"test accuracy {metrics['accuracy']:.4f} "
        f"({params.confidence:.0%} interval {metrics['accuracy_low']:.4f} to {metrics['accuracy_high']:.4f}), "
        f"log loss {metrics['log_loss']:.4f}, {int((~answers.correct).sum())} mistakes in {len(test.labels)} images"
    )


def require_fit(model: Any, dataset: "Dataset", path: Path) -> None:
    """Refuse a network whose input or output does not fit the data.

    Raises:
        UserError: the shapes, and what the data need.
    """
    asked = (tuple(dataset.input_shape), len(dataset.classes))
    got = (tuple(model.input_shape[1:]), model.output_shape[-1])
    if got != asked:
        raise UserError(
            f"{path}: must take images of {list(asked[0])} and tell {asked[1]} classes apart, "
            f"got {list(got[0])} and {got[1]}; train it on these data, with dvc repro"
        )


def _write(
    params: EvaluateParams, answers: "Answers", images: Any, classes: tuple[str, ...], folder: Path
) -> dict[str, float]:
    from pipeline.judge.metrics import calibration, per_class, summary
    from pipeline.judge.pictures import draw_calibration, draw_confusion, draw_mistakes

    metrics = summary(answers, params.confidence, params.calibration_bins)
    bins = calibration(answers, params.calibration_bins)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    _write_csv(folder / "classes.csv", per_class(answers, classes))
    _write_csv(
        folder / "confusion.csv",
        (
            {"actual": classes[actual], "predicted": classes[predicted]}
            for actual, predicted in zip(answers.labels, answers.predicted, strict=True)
        ),
    )
    _write_csv(folder / "calibration.csv", (vars(entry) for entry in bins))
    draw_confusion(answers, classes, folder / "confusion.png")
    draw_calibration(bins, metrics["expected_calibration_error"], folder / "calibration.png")
    draw_mistakes(images, answers, classes, params.mistakes, folder / "mistakes.png")
    return metrics


def _write_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    listed = list(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(listed[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(listed)


def main() -> None:
    """Read params.yaml, and judge."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.evaluate", description=__doc__)
    for option, default in {
        "params": "params.yaml",
        "model": "models/model.keras",
        "test": "data/prepared/test",
        "dataset": "data/prepared/dataset.json",
        "training": "reports/train/run.json",
        "reports": "reports/evaluate",
    }.items():
        parser.add_argument(f"--{option}", type=Path, default=Path(default), help=f"default: {default}")
    given = parser.parse_args()
    params = load_params(given.params)
    run(params.evaluate, params.training.threads, given.model, given.test, given.dataset, given.training, given.reports)


if __name__ == "__main__":
    run_main(main)
