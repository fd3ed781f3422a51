"""The stage `evaluate`: evaluate the trained network on the test split."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.digest import digest, file_sha256
from pipeline.errors import UserError
from pipeline.files import new_folder, write_file
from pipeline.terminal.arguments import params_and_paths, stage_parser
from pipeline.terminal.console import run_main, say
from pipeline.terminal.progress import progress

if TYPE_CHECKING:
    from pipeline.cnn.candidate import Candidate
    from pipeline.data.dataset import Dataset
    from pipeline.evaluation.evaluation import Evaluation
    from pipeline.report.builder import ReportBuilder
    from pipeline.sections import Params, RegisterParams

PAGE = "report.html"
PAGE_IN_MLFLOW = "evaluation-report.html"
_FOOTER = "Tables (CSV) and pictures (PNG) are in reports/evaluate, and in the training run in MLflow.{}"
_ELSEWHERE = (
    " The promotion decision, the comparison with the current champion, and the speed can differ between runs; they "
    "are on the page in MLflow and in logs/evaluate."
)


@dataclass(frozen=True)
class Paths:
    """Input and output paths of the stage.

    Attributes:
        model: The trained network.
        candidate: The candidate from which the network was trained.
        prepared: Folder that contains dataset.json and the splits.
        training: Reports of the training: its run, to which the evaluation is logged, the choice, and the runner-up.
        reports: Folder of the outputs; replaced as a whole.
        ood_detector: The out-of-distribution detector (output).
        logs: Folder of everything that differs between identical evaluations: times, and the page that shows them.
        root: Root of the repository.
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
    """Write metrics, tables, pictures and a page about the network to `paths.reports`.

    A second page in `paths.logs` also contains what can differ between runs, such as the speed and the comparison with
    the current champion.

    Args:
        params: The section `evaluate`; `training`, which sets the number of threads; `register`, which names the
            registered model whose champion the network is compared with; and the seed of all random draws.
        paths: Input and output paths.

    Raises:
        UserError: A file is missing or damaged, the file of a backbone's weights has changed, or the network does not
            fit the data.
    """
    from pipeline.backbones.check import check_backbone
    from pipeline.backend.runtime import configure, start_backend
    from pipeline.cnn.candidate import read_candidate
    from pipeline.data.dataset import read_dataset
    from pipeline.data.kind import KINDS
    from pipeline.data.split import read_split
    from pipeline.data.training_data import TrainingData, require_splits_of
    from pipeline.evaluation.choice import RUNNER_UP_MODEL, read_choice
    from pipeline.inference.outliers import read_outliers
    from pipeline.tracking.live import track
    from pipeline.tracking.record import MODEL_SHA256, RunRecord, read_record, require_model_of, write_record

    dataset, candidate = read_dataset(paths.prepared / "dataset.json"), read_candidate(paths.candidate)
    train, val, test = (read_split(paths.prepared / name, name) for name in ("train", "val", "test"))
    require_splits_of(dataset, train, val, test)
    trained, choice = read_record(paths.training / "run.json"), read_choice(paths.training / "choice.json")
    require_model_of(trained, paths.model)
    runner_up_path = None if choice.runner_up is None else paths.training / RUNNER_UP_MODEL
    if runner_up_path is not None:
        require_model_of(read_record(runner_up_path.with_name("run.json")), runner_up_path)
    outliers = {}
    settings, training = params.evaluate, params.training
    if settings.out_of_distribution.outliers is not None:
        place = Path(settings.out_of_distribution.outliers)
        outliers["outliers"] = read_outliers(place, dataset.input_shape, dataset.value_range, dataset.input_format)
        say(f"DVC does not detect changes in {place}; after a change, run dvc repro --force --single-item evaluate")

    start_backend(command="evaluate")
    configure(training.threads)
    if candidate.architecture.backbone is not None:  # the pixel permutation test trains it
        check_backbone(candidate.architecture.backbone, dataset)
    from pipeline.cnn.keras_file import load_model, model_digest, read_classes
    from pipeline.evaluation.evaluation import Evaluation
    from pipeline.evaluation.ood import write_ood_detector
    from pipeline.pages.document import document
    from pipeline.pages.templates import render
    from pipeline.report.builder import TEMPLATES, ReportBuilder
    from pipeline.report.sections import PARTS, add_sections

    files = [paths.model] if runner_up_path is None else [paths.model, runner_up_path]
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
        tags=identity | {MODEL_SHA256: file_sha256(paths.model)},
        dataset={"name": dataset.name, "digest": test.digest, "source": dataset.name, "contexts": ["test"]},
    )
    title, footer = f"{dataset.name}: evaluation on the test split", _FOOTER.format(_ELSEWHERE)
    with (
        track(record, paths.root) as live,
        closing(progress(PARTS, "evaluate: part", len(PARTS), naming=str)) as parts,
    ):
        with new_folder(paths.reports) as folder:
            report = ReportBuilder(folder, words=KINDS[dataset.kind])
            evaluation = Evaluation(
                params=settings,
                training=candidate.overlay(training),
                seed=params.seed,
                data=TrainingData(dataset, train, val),
                candidate=candidate,
                test=test,
                outliers=outliers,
                model=model,
                digest=identity["model_digest"],
                model_path=paths.model,
                choice=choice,
                runner_up=others[0] if others else None,
            )
            add_sections(report, evaluation, parts)
            page = document(title, " ".join(report.verdicts), report.sections, footer)
            (folder / PAGE).write_text(page, encoding="utf-8")
            report.write_metrics()
            register = params.register_ if live.published else None
            current = with_current_sections(report, evaluation, register, paths.root, parts)
            write_file(paths.logs / "current_metrics.json", json.dumps(current.metrics, indent=2) + "\n")
            footer = render(
                TEMPLATES / "footer.html",
                files=_FOOTER.format(""),
                identity=_identity(identity["model_digest"], candidate, paths.root),
            )
            write_file(paths.logs / PAGE, document(title, " ".join(current.verdicts), current.sections, footer))
            write_ood_detector(evaluation.ood.detector, paths.ood_detector)
        live.log({f"test_{name}": value for name, value in report.metrics.items()}, step=0)
        live.log({f"test_{name}": value for name, value in current.metrics.items()}, step=0, volatile=True)
        for name in report.files:
            live.artifact(paths.reports / name)
        live.record.description = _description(report.verdicts)
        live.note(_description(current.verdicts))
        live.page(PAGE_IN_MLFLOW, paths.logs / PAGE, paths.reports / PAGE)
    write_record(live.record, paths.reports / "run.json")
    for sentence in current.verdicts:
        say(sentence)
    say(f"details: {paths.logs / PAGE}, `fovea ui` (MLflow)")


def with_current_sections(
    report: "ReportBuilder",
    evaluation: "Evaluation",
    register: "RegisterParams | None",
    root: Path,
    parts: Iterator[str],
) -> "ReportBuilder":
    """Copy a report, and add the sections whose results differ between runs: the speed and the promotion.

    Args:
        report: The finished report.
        evaluation: The network, the data and the settings.
        register: The section `register` of params.yaml; None: MLflow is not available.
        root: Root of the repository.
        parts: Progress over PARTS.

    Returns:
        A report with all sections, whose metrics are only those that the given report lacks.
    """
    from pipeline.evaluation.cost import measure_cost
    from pipeline.inference.classifier import lineage
    from pipeline.promotion.promotion_check import PromotionCheck, completed
    from pipeline.registry.split_usage import add_evaluation, count_usage
    from pipeline.registry.versions import open_registry
    from pipeline.report.builder import ReportBuilder
    from pipeline.report.cost import add_speed_section
    from pipeline.report.promotion import add_promotion_section, add_split_usage

    next(parts)
    test, level = evaluation.test, evaluation.params.confidence_level
    cost = measure_cost(evaluation.model, test.images)
    current = ReportBuilder(
        report.folder, dict(cost.metrics), list(report.verdicts), list(report.sections), words=report.words
    )
    add_speed_section(current, cost)
    add_evaluation(root, test.digest, evaluation.digest)
    usage = count_usage(None, root, test.digest, evaluation.digest)
    if register is not None:
        next(parts)
        known = completed(report.metrics | cost.metrics, test, level)
        check = PromotionCheck(
            register, evaluation.params, evaluation.seed, evaluation.model, evaluation.data.dataset, test, known
        )
        try:
            with open_registry(register.name, root) as registry:
                own = registry.find(model_digest=evaluation.digest, lineage=lineage(evaluation.data.dataset))
                decision = check.decide(registry, own)
                usage = count_usage(registry, root, test.digest, evaluation.digest)
        except (UserError, OSError) as error:
            say(f"the page does not state whether the network would become champion: {error}")
        else:
            add_promotion_section(current, decision, level)
    add_split_usage(current, usage, report.metrics["accuracy"], len(test.labels))
    return current


def _description(verdicts: Sequence[str]) -> str:
    """Describe the evaluation in Markdown, for the MLflow UI."""
    sentences = "\n".join(f"- {sentence}" for sentence in verdicts)
    where = f"`{PAGE_IN_MLFLOW}` under *Artifacts*, and `logs/evaluate/{PAGE}` in the project"
    return f"{sentences}\n\nThe page with all results is {where}."


def _identity(model_digest: str, candidate: "Candidate", root: Path) -> str:
    """Describe what was evaluated, and when; for the page that DVC does not track, since this differs between runs."""
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
    """Reject a network whose input shape, number of outputs or class names do not fit the data.

    Args:
        model: The network.
        classes: Class names of the network; empty: they are unknown and not checked.
        dataset: The data.
        path: File of the network, for the error message.

    Raises:
        UserError: The network does not fit the data.
    """
    asked = (tuple(dataset.input_shape), len(dataset.classes))
    got = (tuple(model.input_shape[1:]), model.output_shape[-1])
    if got != asked:
        raise UserError(
            f"{path}: must have input shape {list(asked[0])} and {asked[1]} outputs, as the data require, "
            f"got {list(got[0])} and {got[1]}; retrain it on these data with dvc repro"
        )
    if classes and classes != dataset.classes:
        one, other = next(pair for pair in zip(dataset.classes, classes, strict=True) if pair[0] != pair[1])
        raise UserError(
            f"{path}: must have the classes of the data, got {other!r} instead of {one!r}; retrain it on these data "
            "with dvc repro"
        )


def main(prog: str = "python -m pipeline.evaluate") -> None:
    """Run the stage with the params file and the paths given on the command line."""
    run(*params_and_paths(stage_parser(prog, __doc__, Paths()).parse_args(), Paths()))


if __name__ == "__main__":
    run_main(main)
