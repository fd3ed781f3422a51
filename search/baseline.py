"""The hand-written network of params.yaml as trial 0."""

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.candidate import Candidate
from pipeline.params import BudgetParams, ModelParams
from pipeline.terminal import UserError
from search.feasibility import judge


def baseline_candidate(
    model: ModelParams, input_shape: tuple[int, ...], classes: int, budget: BudgetParams
) -> Candidate:
    """The baseline, exactly as written.

    Raises:
        UserError: it does not fit the images or the budget.
    """
    candidate = Candidate(architecture=Architecture.from_model(model, input_shape, classes), training={})
    verdict = judge(candidate, budget)
    if "geometry" in verdict.violations:
        dot = "." if verdict.sentence.startswith("blocks.") else ": "
        raise UserError(f"params.yaml: model{dot}{verdict.sentence}")
    if verdict.violations:
        raise UserError(
            f"params.yaml: model: the baseline must be within the budget, but its {verdict.sentence}; "
            "make model: smaller, or raise search.budget"
        )
    return candidate
