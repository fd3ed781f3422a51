"""Stage evaluate: judge the trained network on the test split, from every side."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.arguments import params_and_paths, stage_parser
from pipeline.console import progress, run_main, say
from pipeline.digest import digest
from pipeline.errors import UserError
from pipeline.files import new_folder, write_file

if TYPE_CHECKING:
    from pipeline.cnn.candidate import Candidate
    from pipeline.data.dataset import Dataset
    from pipeline.params import Params

PAGE = "report.html"
PAGE_IN_MLFLOW = "evaluation-report.html"
_FOOTER = "Tables as CSV and pictures as PNG lie in reports/evaluate, and in MLflow with the run of the training.{}"
_ELSEWHERE = (
    " Whether it should serve, against the present champion, and its speed are on the page in MLflow, and in "
    "logs/evaluate, since they can differ from run to run."
)


@dataclass(frozen=True)
class Paths:
    """Where the stage reads and writes.

    Attributes:
        model: the trained network.
        candidate: what it was trained from.
        prepared: folder of dataset.json and the splits.
        training: reports of the training: its run, which carries the evaluation, the choice, and the runner-up.
        reports: folder of the outputs; replaced as a whole.
        ood_detector: The out-of-distribution detector, an output.
        logs: folder of what differs between two equal evaluations: times, and the page with them.
        root: the repository's root.
    """

    model: Path = Path("models/model.keras")
    candidate: Path = Path("models/model.yaml")
    prepared: Path = Path("data/prepared")
    training: Path = Path("reports/train")
    reports: Path = Path("reports/evaluate")
    ood_detector: Path = Path("models/ood_detector.npz")
    logs: Path = Path("logs/evaluate")
    root: Path = Path(".")


def run(params: "Params", paths: Paths = Paths()) -> None:
    """Write figures, tables, pictures and a page about the network to `paths.reports`.

    What can differ from run to run, such as speed and the present champion, is on the page in `paths.logs` besides.

    Args:
        params: the sections `evaluate`, `training`, whose threads are those of the evaluation, too, and `register`,
            whose champion the network is compared with; and the seed of all that is drawn.
        paths: where everything is.

    Raises:
        UserError: a file is missing or damaged, or the network does not fit the data.
    """
    from pipeline.backend.runtime import configure, start_backend
    from pipeline.cnn.candidate import read_candidate
    from pipeline.data.dataset import read_dataset
    from pipeline.data.split import read_split
    from pipeline.evaluation.choice import RUNNER_UP_MODEL, read_choice
    from pipeline.images.outliers import read_outliers
    from pipeline.tracking.live import track
    from pipeline.tracking.record import RunRecord, read_record, write_record

    dataset, candidate = read_dataset(paths.prepared / "dataset.json"), read_candidate(paths.candidate)
    train, val, test = (read_split(paths.prepared / name, name) for name in ("train", "val", "test"))
    trained, choice = read_record(paths.training / "run.json"), read_choice(paths.training / "choice.json")
    beside = None if choice.runner_up is None else paths.training / RUNNER_UP_MODEL
    outliers = {}
    settings, training, seed = params.evaluate, params.training, params.seed
    if settings.out_of_distribution.outliers is not None:
        place = Path(settings.out_of_distribution.outliers)
        outliers["outliers"] = read_outliers(place, dataset.input_shape, dataset.value_range)
        say(f"DVC does not watch {place}; after changing it, run dvc repro --force --single-item evaluate")

    start_backend(command="evaluate")
    configure(training.threads)
    from pipeline.cnn.keras_file import load_model, model_digest, read_classes
    from pipeline.evaluation.ood import write_ood_detector
    from pipeline.pages.document import document
    from pipeline.pages.templates import render
    from pipeline.report.builder import TEMPLATES, ReportBuilder
    from pipeline.report.sections import PARTS, Evaluation

    files = [paths.model] if beside is None else [paths.model, beside]
    model, *others = (load_model(path) for path in files)
    for network, path in zip((model, *others), files, strict=True):
        require_fit(network, read_classes(path), dataset, path)
    identity = {"model_digest": model_digest(model), "test_digest": test.digest}
    record = RunRecord(
        kind="evaluation",
        key=digest(
            "evaluation",
            identity,
            list(dataset.classes),
            settings.model_dump(mode="json"),
            {name: hashlib.sha256(images.tobytes()).hexdigest() for name, images in outliers.items()},
        ),
        name=f"evaluate {dataset.name}",
        parent=trained.key,
        params={f"evaluate.{name}": value for name, value in settings.model_dump(mode="json").items()},
        tags=identity,
        dataset={"name": dataset.name, "digest": test.digest, "source": dataset.name, "contexts": ["test"]},
    )
    title, footer = f"{dataset.name}: the network on the test split", _FOOTER.format(_ELSEWHERE)
    with (
        track(record, paths.root) as live,
        closing(progress(PARTS, "evaluate: part", len(PARTS), naming=str)) as parts,
    ):
        with new_folder(paths.reports) as folder:
            report = ReportBuilder(folder)
            evaluation = Evaluation(
                settings, candidate.overlay(training), seed, dataset, candidate, train, val, test, outliers
            )
            detector = evaluation.write(report, model, identity["model_digest"], paths.model, choice, others, parts)
            page = document(title, " ".join(report.verdicts), report.sections, footer)
            (folder / PAGE).write_text(page, encoding="utf-8")
            report.write_metrics()
            today = evaluation.today(
                report, model, identity["model_digest"], params.register_ if live.published else None, paths.root, parts
            )
            write_file(paths.logs / "today.json", json.dumps(today.metrics, indent=2) + "\n")
            footer = render(
                TEMPLATES / "footer.html",
                files=_FOOTER.format(""),
                identity=_identity(identity["model_digest"], candidate, paths.root),
            )
            write_file(paths.logs / PAGE, document(title, " ".join(today.verdicts), today.sections, footer))
            write_ood_detector(detector, paths.ood_detector)
        live.log({f"test_{name}": value for name, value in report.metrics.items()}, step=0)
        live.log({f"test_{name}": value for name, value in today.metrics.items()}, step=0, volatile=True)
        for name in report.files:
            live.artifact(paths.reports / name)
        live.record.description = _description(report.verdicts)
        live.note(_description(today.verdicts))
        live.page(PAGE_IN_MLFLOW, paths.logs / PAGE, paths.reports / PAGE)
    write_record(live.record, paths.reports / "run.json")
    for sentence in today.verdicts:
        say(sentence)
    say(f"more: {paths.logs / PAGE}, `fovea ui` (MLflow)")


def _description(verdicts: Sequence[str]) -> str:
    """The evaluation for a reader of the MLflow UI, in Markdown."""
    sentences = "\n".join(f"- {sentence}" for sentence in verdicts)
    where = f"`{PAGE_IN_MLFLOW}` under *Artifacts*, and `logs/evaluate/{PAGE}` in the project"
    return f"{sentences}\n\nThe page with all figures is {where}."


def _identity(model_digest: str, candidate: "Candidate", root: Path) -> str:
    """What was evaluated, and when, for the page that DVC does not track."""
    from pipeline.tracking.environment import git_tags

    git = git_tags(root)
    facts = [f"Model {model_digest}"]
    if candidate.origin is not None:
        facts.append(f"study {candidate.origin.study}, trial {candidate.origin.trial}")
    if "mlflow.source.git.commit" in git:
        changed = " with changes" if git.get("git.changed") == "yes" else ""
        facts.append(f"commit {git['mlflow.source.git.commit'][:12]}{changed}")
    facts.append(f"evaluated {datetime.now().astimezone():%Y-%m-%d %H:%M %Z}")
    return f"{'; '.join(facts)}."


def require_fit(model: Any, classes: tuple[str, ...], dataset: "Dataset", path: Path) -> None:
    """Refuse a network whose input, output or names of classes do not fit the data; without names, these fit.

    Raises:
        UserError: what the network has, and what the data need.
    """
    asked = (tuple(dataset.input_shape), len(dataset.classes))
    got = (tuple(model.input_shape[1:]), model.output_shape[-1])
    if got != asked:
        raise UserError(
            f"{path}: must take images of {list(asked[0])} and tell {asked[1]} classes apart, "
            f"got {list(got[0])} and {got[1]}; train it on these data, with dvc repro"
        )
    if classes and classes != dataset.classes:
        one, other = next(pair for pair in zip(dataset.classes, classes, strict=True) if pair[0] != pair[1])
        raise UserError(
            f"{path}: must tell the classes of the data apart, got {other!r} in the place of {one!r}; train it on "
            "these data, with dvc repro"
        )


def main(prog: str = "python -m pipeline.evaluate") -> None:
    """Read params.yaml, and evaluate."""
    run(*params_and_paths(stage_parser(prog, __doc__, Paths()).parse_args(), Paths()))


if __name__ == "__main__":
    run_main(main)
