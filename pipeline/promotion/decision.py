"""Decide whether a network becomes champion, and why."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.evaluation.comparison import Comparison
from pipeline.promotion.gate import RuleResult
from pipeline.registry.versions import Alias
from pipeline.sections.gate_rules import PromoteIf


@dataclass(frozen=True)
class ChampionComparison:
    """Comparison of a network with the champion on the same test images.

    Attributes:
        version: Version number of the champion.
        accuracy: Accuracy of the champion.
        comparison: Comparison of the network with the champion.
    """

    version: int
    accuracy: float
    comparison: Comparison

    def sentence(self, metric: str) -> str:
        """Describe both accuracies, and their difference with its interval and p-value.

        Args:
            metric: Name of the accuracy: `accuracy` or `whole_file_accuracy`.
        """
        comparison = self.comparison
        return (
            f"{metric} {self.accuracy + comparison.difference:.6g}, compared with {self.accuracy:.6g} for the champion "
            f"(version {self.version}) on the same test data (difference {comparison.difference:+.4f}, "
            f"interval {comparison.low:+.4f} to {comparison.high:+.4f}; p = {comparison.p_value:.3g})"
        )


@dataclass(frozen=True)
class RegistryState:
    """State of the registry before a decision about a network.

    Attributes:
        champion: Version number of the champion; None: there is no champion.
        own: Version number of this network, if it is already registered; else None.
        lineage: Whether the champion has the same classes and input shape as the network.
    """

    champion: int | None
    own: int | None
    lineage: bool


@dataclass(frozen=True)
class Decision:
    """The alias that a network gets, and why.

    Attributes:
        alias: The alias.
        reason: Reason for the decision, as a sentence.
        verdicts: Results of all rules: those of the gate, and those of the comparison with the champion.
        champion_comparison: Comparison with the champion; None: there was no comparable champion.
        was_champion: Whether the network was champion before.
    """

    alias: Alias
    reason: str
    verdicts: tuple[RuleResult, ...]
    champion_comparison: ChampionComparison | None
    was_champion: bool

    @property
    def outcome(self) -> str:
        """Effect of the decision on the network, as the predicate of a sentence."""
        if self.was_champion:
            return "remains champion" if self.alias == "champion" else "loses the alias champion"
        return "would become champion" if self.alias == "champion" else "would not become champion"


def rules_against_champion(promote_if: PromoteIf, alpha: float, margin: float) -> tuple[str, ...]:
    """Return the rules that a network must satisfy to replace the current champion.

    Args:
        promote_if: `better`: better with p < alpha, and non-inferior; `not_worse`: only non-inferior; `higher`: any
            higher accuracy.
        alpha: Significance level of the p-value.
        margin: Non-inferiority margin: the whole interval of the difference in accuracy must be above -margin.
    """
    not_worse, higher = f"difference_low > {-margin:g}", "difference > 0"
    rules = {"better": (higher, f"p_value < {alpha:g}", not_worse), "not_worse": (not_worse,), "higher": (higher,)}
    return rules[promote_if]


def decide(
    state: RegistryState,
    verdicts: Sequence[RuleResult],
    champion_comparison: ChampionComparison | None,
    champion_rules: Sequence[RuleResult] = (),
    metric: str = "accuracy",
) -> Decision:
    """Decide which alias a network gets.

    A network becomes champion if it satisfies the gate and the rules against the current champion that `promote_if`
    requires. If the network is itself the champion and violates the gate, it loses that alias. Any other champion keeps
    it, because the gate applies only to the network that is being registered.

    Args:
        state: State of the registry.
        verdicts: Results of the gate rules.
        champion_comparison: Comparison with the champion, if that is another network of the same lineage.
        champion_rules: Results of the rules against that champion.
        metric: Name of the accuracy that was compared.
    """

    def decision(alias: Alias, reason: str) -> Decision:
        return Decision(alias, reason, (*verdicts, *champion_rules), champion_comparison, was_champion)

    was_champion = state.champion is not None and state.champion == state.own
    broken = ", ".join(verdict.sentence for verdict in verdicts if not verdict.holds)
    if was_champion:
        if broken:
            return decision("challenger", f"it now violates {broken}")
        return decision("champion", "it is already the champion and still satisfies the gate")
    if broken:
        return decision("challenger", f"it violates {broken}")
    if champion_comparison is not None:
        failed = ", ".join(verdict.sentence for verdict in champion_rules if not verdict.holds)
        return decision(
            "challenger" if failed else "champion",
            f"{champion_comparison.sentence(metric)}{failed and f'; required: {failed}'}",
        )
    if state.champion is not None and not state.lineage:
        reason = f"it starts a new lineage, because the champion, version {state.champion}, has different classes"
        return decision("champion", f"{reason} or a different input shape")
    return decision("champion", "there is no current champion")
