"""Which alias a network gets, and why."""

import numpy as np
import pytest

from pipeline.data.split import Split
from pipeline.evaluation.comparison import Comparison, compare
from pipeline.promotion.decision import ChampionComparison, RegistryState, decide, rules_against_champion
from pipeline.promotion.gate import RuleResult, check_gate, rules_for_every_network
from pipeline.promotion.promotion_check import completed
from pipeline.sections.gate_rules import PromoteIf

NEW = RegistryState(champion=1, own=None, lineage=True)
HOLDS, BROKEN = (RuleResult("accuracy >= 0.5", value, 0.5, value >= 0.5) for value in (0.9, 0.4))


def champion_comparison(difference: float) -> ChampionComparison:
    return ChampionComparison(1, 0.9, Comparison(difference, difference - 0.005, difference + 0.005, 0.04, 3, 2))


def test_a_network_below_chance_is_not_promoted() -> None:
    labels = np.repeat([0, 1, 2], 30)
    test = Split("test", np.zeros((90, 2, 2, 1), np.uint8), labels, "a" * 64)
    figures = completed({"accuracy": 29 / 90}, test, 0.95)
    verdicts = check_gate(rules_for_every_network((), figures), figures, None)
    decision = decide(RegistryState(None, None, False), verdicts, None)
    assert decision.alias == "challenger"
    assert "limit 0.333333" in decision.reason


@pytest.mark.parametrize(
    ("promote_if", "only_new", "only_champion", "alias"),
    [
        ("better", 9, 5, "challenger"),  # p = 0.42
        ("better", 40, 20, "champion"),  # p = 0.01
        ("better", 20, 40, "challenger"),
        ("better", 0, 0, "challenger"),
        ("not_worse", 9, 5, "champion"),
        ("not_worse", 0, 0, "champion"),
        ("not_worse", 5, 9, "champion"),  # at most 0.0117 worse, with a margin of 0.02
        ("not_worse", 20, 60, "challenger"),
        ("higher", 9, 8, "champion"),
        ("higher", 8, 8, "challenger"),
    ],
)
def test_a_champion_is_replaced_according_to_promote_if(
    promote_if: PromoteIf, only_new: int, only_champion: int, alias: str
) -> None:
    new, champion = np.ones(1000, bool), np.ones(1000, bool)
    champion[:only_new] = False
    new[only_new : only_new + only_champion] = False
    comparison = compare(new, champion, 0.95)
    figures = {"difference": comparison.difference, "difference_low": comparison.low, "p_value": comparison.p_value}
    against = check_gate(rules_against_champion(promote_if, 0.05, 0.02), figures, {})
    decision = decide(NEW, [], ChampionComparison(1, float(champion.mean()), comparison), against)
    assert decision.alias == alias
    assert f"p = {comparison.p_value:.3g}" in decision.reason
    assert ("required:" in decision.reason) is (alias == "challenger")


def test_a_better_network_is_not_promoted_if_the_test_split_is_too_small() -> None:
    """If the interval is wider than the margin, the network is not shown to be no worse."""
    comparison = compare(np.ones(30, bool), np.arange(30) > 0, 0.95)
    figures = {"difference": comparison.difference, "difference_low": comparison.low, "p_value": comparison.p_value}
    (verdict,) = check_gate(rules_against_champion("not_worse", 0.05, 0.01), figures, {})
    assert not verdict.holds


@pytest.mark.parametrize(
    ("state", "verdict", "comparison", "alias", "reason"),
    [
        (RegistryState(None, None, False), HOLDS, None, "champion", "no current champion"),
        (RegistryState(None, None, False), BROKEN, None, "challenger", "accuracy >= 0.5 (value 0.4)"),
        (NEW, HOLDS, champion_comparison(0.02), "champion", "0.92, compared with 0.9 for the champion (version 1)"),
        (NEW, HOLDS, champion_comparison(0.0), "challenger", "p = 0.04"),
        (NEW, HOLDS, champion_comparison(-0.02), "challenger", "accuracy 0.88"),
        (NEW, BROKEN, champion_comparison(0.02), "challenger", "it violates accuracy"),
        (RegistryState(1, 1, True), HOLDS, None, "champion", "already the champion"),
        (RegistryState(1, 1, True), BROKEN, None, "challenger", "it now violates accuracy"),
        (RegistryState(1, None, False), HOLDS, None, "champion", "a new lineage"),
        (RegistryState(1, None, False), BROKEN, None, "challenger", "it violates accuracy"),
        (RegistryState(1, 2, True), HOLDS, champion_comparison(0.01), "champion", "on the same test data"),
    ],
)
def test_the_decision_follows_from_the_gate_and_the_champion(
    state: RegistryState, verdict: RuleResult, comparison: ChampionComparison | None, alias: str, reason: str
) -> None:
    against: tuple[RuleResult, ...] = ()
    if comparison is not None:
        paired = comparison.comparison
        figures = {"difference": paired.difference, "difference_low": paired.low, "p_value": paired.p_value}
        against = check_gate(rules_against_champion("better", 0.05, 0.01), figures, {})
    decision = decide(state, [verdict], comparison, against)
    assert decision.alias == alias
    assert reason in decision.reason
    assert decision.verdicts == (verdict, *against)


@pytest.mark.parametrize(
    ("state", "verdict", "outcome"),
    [
        (RegistryState(None, None, False), HOLDS, "would become champion"),
        (RegistryState(None, None, False), BROKEN, "would not become champion"),
        (RegistryState(1, 1, True), HOLDS, "remains champion"),
        (RegistryState(1, 1, True), BROKEN, "loses the alias champion"),
    ],
)
def test_the_outcome_of_a_decision_is_the_predicate_of_a_sentence(
    state: RegistryState, verdict: RuleResult, outcome: str
) -> None:
    assert decide(state, [verdict], None).outcome == outcome
