"""Check whether a network would become champion, by the gate and by comparison with the current champion."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.data.kind import KINDS
from pipeline.inference.classifier import lineage
from pipeline.promotion.decision import ChampionComparison, Decision, RegistryState, decide, rules_against_champion
from pipeline.promotion.gate import check_gate, rules_for_every_network
from pipeline.sections import EvaluateParams, RegisterParams
from pipeline.sections.gate_rules import MEASURED, parse_rule

if TYPE_CHECKING:
    import keras

    from pipeline.data.dataset import Dataset
    from pipeline.data.split import Split
    from pipeline.registry.versions import Registry, Version

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class PromotionCheck:
    """A network, and what is needed to decide whether it becomes champion.

    Attributes:
        params: The section `register` of params.yaml.
        evaluate: Settings of the network's evaluation; the champion is evaluated with the same settings.
        seed: Seed of the corruptions.
        model: The network.
        dataset: Metadata of the dataset that it was trained on.
        test: The test split.
        metrics: Metrics of the evaluation, by name, as `completed` returns them. Metrics that are measured on the
            machine may be missing.
    """

    params: RegisterParams
    evaluate: EvaluateParams
    seed: int
    model: "keras.Model"
    dataset: "Dataset"
    test: "Split"
    metrics: dict[str, float]

    def decide(self, registry: "Registry", own: "Version | None") -> Decision:
        """Check the gate, compare with the current champion on the same test data, and decide.

        Args:
            registry: The model registry.
            own: Version of this network, if it is already registered.
        """
        from pipeline.evaluation.cost import measure_cost
        from pipeline.evaluation.metrics import Predictions
        from pipeline.inference.classifier import MODEL, read_classifier
        from pipeline.promotion.champion import evaluate_champion
        from pipeline.registry.artifacts import fetched

        champion = registry.champion()
        same_lineage = champion is not None and champion.tags.get("lineage") == lineage(self.dataset)
        gate = rules_for_every_network(self.params.gate, self.metrics)
        rules = [parse_rule(text) for text in gate]
        against: tuple[str, ...] = ()
        decisive = "accuracy"
        metrics, champion_comparison, theirs = dict(self.metrics), None, None
        if any(rule.metric in MEASURED and rule.metric not in metrics for rule in rules):
            metrics |= measure_cost(self.model, self.test.images).metrics
        if champion is not None and same_lineage and (own is None or champion.number != own.number):
            predictions = Predictions(self._predictor(self.model)(self.test.images), self.test.labels)
            corrupted = any(rule.relative and _is_of_corruptions(rule.metric) for rule in rules)
            _LOGGER.info(
                f"comparing with the champion, version {champion.number}, on {len(self.test.labels):,} test "
                f"{KINDS[self.dataset.kind].many}"
                f"{', clean and corrupted' if corrupted else ''}"
            )
            with fetched(champion.uri) as folder:
                other = read_classifier(folder / MODEL).model
            champion_evaluation = evaluate_champion(
                predictions,
                other,
                self._predictor(other),
                self.test.images,
                self.evaluate,
                self.seed,
                corrupted,
                self.dataset.kind,
                self.test.names,
            )
            theirs = champion_evaluation.metrics
            decisive = "whole_file_accuracy" if "whole_file_accuracy" in theirs else "accuracy"
            champion_comparison = ChampionComparison(champion.number, theirs[decisive], champion_evaluation.comparison)
            comparison = champion_evaluation.comparison
            metrics |= {
                "difference": comparison.difference, "difference_low": comparison.low, "p_value": comparison.p_value
            }  # fmt: skip
            against = rules_against_champion(self.params.promote_if, self.params.alpha, self.params.margin)
            if champion.tags.get("test_digest") != self.test.digest:
                accuracy = f"{decisive} {champion_comparison.accuracy:.6g}"
                _LOGGER.info(f"the test data changed: champion version {champion.number} has {accuracy} on it")
        state = RegistryState(
            champion=None if champion is None else champion.number,
            own=None if own is None else own.number,
            lineage=same_lineage,
        )
        champion_rules = check_gate([rule for rule in against if rule not in gate], metrics, theirs)
        return decide(state, check_gate(gate, metrics, theirs), champion_comparison, champion_rules, decisive)

    def _predictor(self, model: "keras.Model") -> Any:
        from pipeline.backend.predictor import make_predictor

        return make_predictor(model, self.evaluate.batch_size)


def completed(metrics: Mapping[str, float], test: "Split", confidence: float) -> dict[str, float]:
    """Complete the metrics of an evaluation by `chance` and, if they lack it, the interval of the accuracy.

    Args:
        metrics: Metrics by name, including the accuracy on the test split.
        test: The test split.
        confidence: Level of the interval.
    """
    from pipeline.evaluation.metrics import chance, wilson_interval

    images = len(test.labels)
    low, high = wilson_interval(round(metrics["accuracy"] * images), images, confidence)
    return {"chance": chance(test.labels), "accuracy_low": low, "accuracy_high": high, **metrics}


def _is_of_corruptions(metric: str) -> bool:
    return metric == "robustness" or metric.startswith("accuracy_")
