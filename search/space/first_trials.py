"""The first trials of a study: the baseline from params.yaml and the enqueued architectures."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.candidate import Candidate
from pipeline.data.dataset import Kind
from pipeline.errors import UserError
from pipeline.params import BudgetParams, ModelParams, TrainingParams
from pipeline.params_file import read_yaml, validate
from search.space.feasibility import check_feasibility, over_budget


def baseline_candidate(
    model: ModelParams, input_shape: tuple[int, ...], classes: int, budget: BudgetParams, kind: Kind = "image"
) -> Candidate:
    """Return the baseline exactly as params.yaml specifies it: blocks and head, or a backbone with its head.

    Raises:
        UserError: The baseline does not fit the images or the budget, or the weights of its backbone cannot be read.
    """
    rate = None if model.backbone is None else model.backbone.learning_rate
    training: dict[str, int | float | str] = {} if rate is None else {"learning_rate": rate}
    candidate = Candidate(architecture=Architecture.from_model(model, input_shape, classes), training=training)
    verdict = check_feasibility(candidate, budget, kind)
    if "geometry" in verdict.violations:
        dot = "." if verdict.sentence.startswith(("blocks.", "backbone:")) else ": "
        raise UserError(f"params.yaml: model{dot}{verdict.sentence}")
    if verdict.violations:
        raise over_budget("model" if model.backbone is None else "model.backbone", verdict)
    return candidate


def enqueued_candidates(
    files: Sequence[str],
    training: TrainingParams,
    input_shape: tuple[int, ...],
    classes: int,
    budget: BudgetParams,
    kind: Kind = "image",
) -> tuple[Candidate, ...]:
    """Read the networks of `search.enqueue`, and adapt them to the input shape and the classes of the dataset.

    A file contains an architecture, or a candidate with training settings, such as a copy of models/architecture.yaml.
    (The stage overwrites that file itself.)

    Raises:
        UserError: A file cannot be read, or its network does not fit the images or the budget.
    """
    found = []
    for name in files:
        content = read_yaml(Path(name))
        if not isinstance(content, dict) or "architecture" not in content:
            content = {"architecture": content, "training": {}}
        written = validate(Candidate, content, name)
        architecture = written.architecture.model_dump(mode="json") | {"input_shape": input_shape, "classes": classes}
        candidate = validate(Candidate, {"architecture": architecture, "training": written.training}, name)
        candidate.overlay(training, name)
        if candidate.architecture.backbone is not None:
            raise UserError(
                f"params.yaml: search.enqueue: {name} must be a network of blocks, got the backbone "
                f"{candidate.architecture.backbone.name}; set model.backbone instead"
            )
        verdict = check_feasibility(candidate, budget, kind)
        if verdict.violations:
            raise UserError(f"params.yaml: search.enqueue: {name} must fit, but {verdict.sentence}; remove it")
        found.append(candidate)
    return tuple(found)
