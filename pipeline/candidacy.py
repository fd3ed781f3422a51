"""Whether a network would become champion: by the gate, and beside the present champion on the same test images."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.decision import Decision, Rival, Standing, decide
from pipeline.gate import judge
from pipeline.network import lineage
from pipeline.params import EvaluateParams, RegisterParams
from pipeline.params.gate import MEASURED, parse_rule
from pipeline.terminal import say

if TYPE_CHECKING:
    import keras

    from pipeline.data.dataset import Dataset
    from pipeline.data.split import Split
    from pipeline.tracking.registry import Registry, Version


@dataclass(frozen=True)
class Candidacy:
    """A network before the registry.

    Attributes:
        params: name and gate.
        evaluate: how the network was judged; the champion is judged alike.
        seed: of the corruptions.
        model: the network.
        dataset: that it was trained on.
        test: the test split.
        figures: of the evaluation, by name; those that are measured on the machine only if they are known.
    """

    params: RegisterParams
    evaluate: EvaluateParams
    seed: int
    model: "keras.Model"
    dataset: "Dataset"
    test: "Split"
    figures: dict[str, float]

    def decide(self, registry: "Registry", own: "Version | None") -> Decision:
        """Judge it by the gate, and beside the present champion on the same test data."""
        from pipeline.judge.cost import measure_cost
        from pipeline.judge.metrics import Answers
        from pipeline.judge.opponent import face
        from pipeline.network import FAMILIARITY, MODEL, read_network
        from pipeline.tracking.registry import fetched

        champion = registry.champion()
        alike = champion is not None and champion.tags.get("lineage") == lineage(self.dataset)
        rules = [parse_rule(text) for text in self.params.gate]
        figures, rival, theirs = dict(self.figures), None, None
        if any(rule.metric in MEASURED and rule.metric not in figures for rule in rules):
            figures |= measure_cost(self.model, self.test.images).figures
        if champion is not None and alike and (own is None or champion.number != own.number):
            answers = Answers(self._answer(self.model)(self.test.images), self.test.labels)
            corrupted = any(rule.relative and _is_of_corruptions(rule.metric) for rule in rules)
            with fetched(champion.uri) as folder:
                other = read_network(folder / MODEL, folder / FAMILIARITY).model
            opponent = face(answers, other, self._answer(other), self.test.images, self.evaluate, self.seed, corrupted)
            theirs = opponent.figures
            rival = Rival(champion.number, theirs["accuracy"], opponent.comparison)
            figures |= {"difference": rival.comparison.difference, "p_value": rival.comparison.p_value}
            if champion.tags.get("test_digest") != self.test.digest:
                say(f"the test data changed: champion version {champion.number} reaches {rival.accuracy:.6g} on them")
        standing = Standing(
            versions=len(registry.versions()),
            champion=None if champion is None else champion.number,
            own=None if own is None else own.number,
            lineage=alike,
        )
        return decide(standing, judge(self.params.gate, figures, theirs), rival)

    def _answer(self, model: "keras.Model") -> Any:
        from pipeline.cnn.inference import answering

        return answering(model, self.evaluate.batch_size)


def _is_of_corruptions(metric: str) -> bool:
    return metric == "robustness" or metric.startswith("accuracy_")
