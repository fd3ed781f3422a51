"""The sections of the evaluation page, in order."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.errors import UserError
from pipeline.evaluation.cost import measure_cost
from pipeline.inference.classifier import lineage
from pipeline.promotion.promotion_check import PromotionCheck, completed
from pipeline.registry.split_usage import add_evaluation, count_usage
from pipeline.registry.versions import open_registry
from pipeline.report.builder import ReportBuilder
from pipeline.report.comparison import add_comparison_section
from pipeline.report.cost import add_size_section, add_speed_section
from pipeline.report.evaluation import Evaluation
from pipeline.report.interpretation import add_interpretation_section
from pipeline.report.ood import add_ood_section
from pipeline.report.pixel_permutation import add_pixel_permutation_section
from pipeline.report.promotion import add_promotion_section, add_split_usage
from pipeline.report.quality import add_quality_section
from pipeline.report.robustness import add_robustness_section
from pipeline.sections import RegisterParams

_LOGGER = logging.getLogger(__name__)

# The sections, by the names that the progress line shows. Each function extends the report.
SECTIONS: dict[str, Callable[[ReportBuilder, Evaluation], None]] = {
    "quality": add_quality_section,
    "comparison": add_comparison_section,
    "robustness": add_robustness_section,
    "out-of-distribution detection": add_ood_section,
    "pixel permutation test": add_pixel_permutation_section,
    "interpretation": add_interpretation_section,
    "size": add_size_section,
}
# All parts of the evaluation, including those whose results differ between runs.
PARTS = (*SECTIONS, "speed", "promotion")


def add_sections(report: ReportBuilder, evaluation: Evaluation, parts: Iterator[str]) -> None:
    """Add all sections whose results are the same in each run.

    Args:
        report: Report to extend.
        evaluation: The network, the data and the settings.
        parts: Progress over PARTS.
    """
    for add in SECTIONS.values():
        next(parts)
        add(report, evaluation)


def with_current_sections(
    report: ReportBuilder, evaluation: Evaluation, register: RegisterParams | None, root: Path, parts: Iterator[str]
) -> ReportBuilder:
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
    next(parts)
    test, level = evaluation.test, evaluation.params.confidence_level
    cost = measure_cost(evaluation.model, test.images)
    current = ReportBuilder(report.folder, dict(cost.metrics), list(report.verdicts), list(report.sections))
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
            _LOGGER.info(f"the page does not state whether the network passes the gate: {error}")
        else:
            add_promotion_section(current, decision, level)
    add_split_usage(current, usage, report.metrics["accuracy"], len(test.labels))
    return current
