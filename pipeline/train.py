"""The stage `train`: train the study's winner and the baseline with the same seed, and keep the better network."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.digest import file_sha256
from pipeline.files import new_folder
from pipeline.terminal.arguments import params_and_paths, stage_parser
from pipeline.terminal.console import run_main, say

if TYPE_CHECKING:
    from pipeline.cnn.candidate import Candidate
    from pipeline.data.split import Split
    from pipeline.evaluation.choice import Choice, Role, ValidationResult
    from pipeline.sections import Params
    from pipeline.tracking.tracked_training import TrainedNetwork

_BATCH = 256  # images per prediction step


@dataclass(frozen=True)
class Paths:
    """Input and output paths of the stage.

    Attributes:
        architecture: The study's winner.
        baseline: The network defined in params.yaml.
        dataset: Path of dataset.json.
        train: Folder of the training split.
        val: Folder of the validation split.
        model: The chosen network (output).
        candidate: The candidate from which the chosen network was trained (output).
        reports: Folder of the reports and of the runner-up; replaced as a whole.
        checkpoints: Folder of the checkpoints of unfinished training runs.
        root: Root of the repository.
    """

    architecture: Path = Path("models/architecture.yaml")
    baseline: Path = Path("models/baseline.yaml")
    dataset: Path = Path("data/prepared/dataset.json")
    train: Path = Path("data/prepared/train")
    val: Path = Path("data/prepared/val")
    model: Path = Path("models/model.keras")
    candidate: Path = Path("models/model.yaml")
    reports: Path = Path("reports/train")
    checkpoints: Path = Path("studies/train")
    root: Path = Path(".")


def run(params: "Params", paths: Paths = Paths()) -> None:
    """Train the study's winner and the baseline, choose one on the validation split, and write it.

    If winner and baseline lead to the same training run, it runs only once. If one of two runs diverges, the other
    network is chosen.

    Args:
        params: The section `training`, whose values are overridden by those of a candidate; `objectives`, `choose` and
            `tolerance` of the section `search`, which determine the choice; and the seed of both training runs.
        paths: Input and output paths.

    Raises:
        UserError: A file is missing or invalid, an architecture does not fit the data, or all training runs diverge.
    """
    from pipeline.cnn.candidate import read_candidate, write_candidate
    from pipeline.data.kind import KINDS
    from pipeline.evaluation.choice import NAMES, RUNNER_UP_MODEL, choose, write_choice
    from pipeline.tracking.tracked_training import TrainingDiverged, require_fit, train_and_track

    training, search = params.training, params.search
    winner = read_candidate(paths.architecture)
    candidates: dict[Role, tuple[Candidate, Path]] = {
        "winner": (winner, paths.architecture),
        "baseline": (read_candidate(paths.baseline), paths.baseline),
    }
    same = len({candidate.training_digest(training) for candidate, _ in candidates.values()}) == 1
    if same:  # trained once, from the winner's file, which names its trial
        candidates = {"baseline": candidates["winner"]}

    from pipeline.data.dataset import read_dataset

    dataset = read_dataset(paths.dataset)
    from pipeline.backend.runtime import load_keras

    if any(candidate.architecture.backbone is not None for candidate, _ in candidates.values()):
        load_keras("train", training.threads)  # the geometry of a backbone is read off Keras
    for candidate, place in candidates.values():
        require_fit(candidate, dataset, place)

    from pipeline.data.split import read_split
    from pipeline.data.training_data import TrainingData, require_splits_of

    data = TrainingData(dataset, read_split(paths.train, "train"), read_split(paths.val, "val"))
    require_splits_of(dataset, data.train, data.val)

    load_keras("train", training.threads)
    from pipeline.cnn.keras_file import save_model

    trained: dict[Role, TrainedNetwork] = {}
    diverged: list[TrainingDiverged] = []
    for role, (candidate, place) in candidates.items():
        backbone = candidate.architecture.backbone
        words = NAMES[role] + ("" if backbone is None else f", {backbone.words}")
        say(f"training {words}" + (", which is also the study's winner" if same else ""))
        try:
            trained[role] = train_and_track(
                candidate, training, data, params.seed, role=role, place=place,
                checkpoints=paths.checkpoints, root=paths.root,
            )  # fmt: skip
        except TrainingDiverged as error:
            diverged.append(error)
    if not trained:
        raise diverged[0]
    remark = f"there is no other network, since {diverged[0]}" if diverged else "the study's winner is the baseline"
    tolerance = search.tolerance if search.choose == "cheapest" else None
    choice = choose(
        {role: _validate(each, data.val) for role, each in trained.items()},
        search.objectives[0],
        tolerance,
        remark,
        0 if winner.origin is None else winner.origin.seeds,
        KINDS[dataset.kind].many,
    )
    chosen, runner_up = trained[choice.chosen], None if choice.runner_up is None else trained[choice.runner_up]
    about = (dataset.classes, dataset.value_range, dataset.input_format)
    with new_folder(paths.reports) as folder:
        chosen.write_reports(folder)
        write_choice(choice, folder / "choice.json")
        if runner_up is not None:
            runner_up_folder = (folder / RUNNER_UP_MODEL).parent
            runner_up_folder.mkdir()
            runner_up.write_reports(runner_up_folder)
            save_model(runner_up.model, folder / RUNNER_UP_MODEL, *about)
            write_candidate(runner_up.candidate, runner_up_folder / "model.yaml")
    save_model(chosen.model, paths.model, *about)
    write_candidate(chosen.candidate, paths.candidate)
    _record_choice(chosen, "chosen", choice, paths.reports, paths.model)
    if runner_up is not None:
        other = paths.reports / RUNNER_UP_MODEL
        _record_choice(runner_up, "runner-up", choice, other.parent, other)
    for each in trained.values():
        each.checkpoint.remove()
    for sentence in choice.sentences:
        say(sentence)
    say(f"wrote {paths.model}")


def _validate(trained: "TrainedNetwork", val: "Split") -> "ValidationResult":
    """Evaluate the final network, with the weights that are saved, on the validation split."""
    from pipeline.backend.predictor import predict_probabilities
    from pipeline.evaluation.choice import ValidationResult

    correct = predict_probabilities(trained.model, val.images, _BATCH).argmax(axis=1) == val.labels
    return ValidationResult(trained.metrics, int(trained.metrics["params"]), correct)


def _record_choice(trained: "TrainedNetwork", outcome: str, choice: "Choice", reports: Path, model: Path) -> None:
    """Add the choice and the digest of the network's file to a training run, and write the run's record.

    Args:
        trained: The trained network and its run.
        outcome: Value of the tag `choice`.
        choice: The choice.
        reports: Folder of the reports of this training run.
        model: The network's file.
    """
    from pipeline.tracking.record import MODEL_SHA256, write_record

    live = trained.live
    live.tag("choice", outcome)
    live.tag(MODEL_SHA256, file_sha256(model))
    live.record.description = "\n\n".join([live.record.description, *choice.sentences])
    for name in ("curves.png", "history.csv"):
        live.artifact(reports / name)
    write_record(live.record, reports / "run.json")
    live.amend()


def main(prog: str = "python -m pipeline.train") -> None:
    """Run the stage with the params file and the paths given on the command line."""
    run(*params_and_paths(stage_parser(prog, __doc__, Paths()).parse_args(), Paths()))


if __name__ == "__main__":
    run_main(main)
