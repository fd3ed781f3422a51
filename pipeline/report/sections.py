"""The parts of an evaluation, in their order: each judges the network, and writes what it finds into the report."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pipeline.backend.predictor import make_predictor
from pipeline.cnn.candidate import Candidate
from pipeline.cnn.geometry import describe
from pipeline.data.dataset import Dataset
from pipeline.data.split import Split
from pipeline.errors import UserError
from pipeline.evaluation.choice import Choice
from pipeline.evaluation.cost import measure_cost
from pipeline.evaluation.metrics import Predictions
from pipeline.evaluation.ood import OODDetector
from pipeline.evaluation.pixel_permutation import evaluate_permuted_pixels
from pipeline.inference.classifier import lineage
from pipeline.interpretation.layer_outputs import network_outputs
from pipeline.params import EvaluateParams, RegisterParams, TrainingParams
from pipeline.promotion.promotion_check import PromotionCheck, completed
from pipeline.registry.split_usage import add_evaluation, count_usage
from pipeline.registry.versions import open_registry
from pipeline.report.builder import ReportBuilder
from pipeline.report.comparison import add_comparison_section
from pipeline.report.cost import add_size_section, add_speed_section
from pipeline.report.interpretation import Seen, add_interpretation_section
from pipeline.report.ood import add_ood_section
from pipeline.report.pixel_permutation import add_pixel_permutation_section
from pipeline.report.promotion import add_promotion_section, add_split_usage
from pipeline.report.quality import add_quality_section
from pipeline.report.robustness import add_robustness_section

_LOGGER = logging.getLogger(__name__)

# In the order in which they are judged, for the progress.
PARTS = (
    "quality", "comparison", "robustness", "unfamiliar input", "brief trainings", "look inside", "speed", "champion",
)  # fmt: skip


@dataclass(frozen=True)
class Evaluation:
    """What all parts share.

    Attributes:
        params: how to judge.
        training: how the network was trained.
        seed: of the bootstrap, the corruptions, and whatever is drawn.
        dataset: of the splits.
        candidate: what the network was trained from.
        train: training split.
        val: validation split.
        test: test split.
        outliers: images that the network should find unfamiliar, by name.
    """

    params: EvaluateParams
    training: TrainingParams
    seed: int
    dataset: Dataset
    candidate: Candidate
    train: Split
    val: Split
    test: Split
    outliers: dict[str, NDArray[Any]]

    def _answer(self, model: Any) -> Callable[[Any], Any]:
        """From images to probabilities, by a network."""
        return make_predictor(model, self.params.batch_size)

    def write(
        self, report: ReportBuilder, model: Any, digest: str, model_path: Path, choice: Choice, others: Sequence[Any],
        parts: Iterator[str],
    ) -> OODDetector:  # fmt: skip
        """Judge the network from every side.

        Args:
            report: takes what is found.
            model: the network.
            digest: of the network.
            model_path: its file.
            choice: of the network, on the validation split.
            others: the runner-up of that choice, if there is one.
            parts: shows the part that is in work, and then the next one.
        """
        params, seed, classes, test = self.params, self.seed, self.dataset.classes, self.test
        answer = self._answer(model)
        next(parts)
        answers = Predictions(answer(test.images), test.labels)
        add_quality_section(report, params, seed, answers, test, classes)
        next(parts)
        runner_up = [Predictions(self._answer(other)(test.images), test.labels) for other in others]
        add_comparison_section(report, params, answers, choice, runner_up[0] if runner_up else None)
        next(parts)
        add_robustness_section(report, params, seed, answer, answers, test.images, classes)

        def look(images: Any) -> Any:
            return network_outputs(model, images, params.batch_size)

        next(parts)
        ood_detector = add_ood_section(
            report, params, seed, digest, look, (self.train.images, self.train.labels), self.val.images, test.images,
            self.outliers,
        )  # fmt: skip
        next(parts)
        brief = params.pixel_permutation
        permuted = evaluate_permuted_pixels(
            self.candidate.architecture, self.training, self.dataset, self.train, self.val, brief.images, brief.epochs,
            params.confidence_level, seed,
        )  # fmt: skip
        add_pixel_permutation_section(report, permuted, params.confidence_level)
        next(parts)
        geometry = describe(self.candidate.architecture)
        add_interpretation_section(report, params, seed, model, geometry, Seen(test.images, answers, look, classes))
        add_size_section(report, geometry, model_path)
        return ood_detector

    def today(
        self,
        report: ReportBuilder,
        model: Any,
        digest: str,
        register: RegisterParams | None,
        root: Path,
        parts: Iterator[str],
    ) -> ReportBuilder:
        """The report with what holds today: cost on this machine, and whether the network should serve.

        Args:
            report: of the evaluation.
            model: the network.
            digest: of the network.
            register: name of the registered model, and the gate; None: MLflow is away.
            root: the repository's root.
            parts: shows the part that is in work, and then the next one.

        Returns:
            A report whose metrics are those that the other one lacks.
        """
        next(parts)
        cost = measure_cost(model, self.test.images)
        today = ReportBuilder(report.folder, dict(cost.figures), list(report.verdicts), list(report.sections))
        add_speed_section(today, cost)
        add_evaluation(root, self.test.digest, digest)
        usage = count_usage(None, root, self.test.digest, digest)
        if register is not None:
            next(parts)
            known = completed(report.metrics | cost.figures, self.test, self.params.confidence_level)
            check = PromotionCheck(register, self.params, self.seed, model, self.dataset, self.test, known)
            try:
                with open_registry(register.name, root) as registry:
                    own = registry.find(model_digest=digest, lineage=lineage(self.dataset))
                    decision = check.decide(registry, own)
                    usage = count_usage(registry, root, self.test.digest, digest)
            except (UserError, OSError) as error:
                _LOGGER.info(f"the page does not say whether the network should serve: {error}")
            else:
                add_promotion_section(today, decision, self.params.confidence_level)
        add_split_usage(today, usage, report.metrics["accuracy"], len(self.test.labels))
        return today
