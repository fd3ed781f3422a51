"""The rules of the gate and the resulting decision."""

import numpy as np
import pytest

from pipeline.data.split import Split
from pipeline.errors import UserError
from pipeline.evaluation.comparison import Comparison, compare
from pipeline.promotion.decision import ChampionComparison, RegistryState, decide, rules_against_champion
from pipeline.promotion.gate import BETTER_THAN_CHANCE, RuleResult, check_gate, rules_for_every_network
from pipeline.promotion.promotion_check import completed
from pipeline.sections.gate_rules import PromoteIf, parse_rule

FIGURES = {
    "accuracy": 0.93, "robustness": 0.8, "latency_ms": 4.0, "p_value": 0.03, "params": 1000.0, "accuracy_low": 0.9,
    "chance": 0.4,
}  # fmt: skip
CHAMPION = {"accuracy": 0.92, "robustness": 0.9, "params": 2000.0}


@pytest.mark.parametrize(
    ("rule", "champion", "holds", "limit"),
    [
        ("accuracy >= 0.95", None, False, 0.95),
        ("accuracy >= 0.93", None, True, 0.93),
        ("accuracy > 0.93", None, False, 0.93),
        ("accuracy>=5e-1", None, True, 0.5),
        ("latency_ms <= 5", None, True, 5.0),
        ("latency_ms < 4", None, False, 4.0),
        ("p_value < 0.05", CHAMPION, True, 0.05),
        ("p_value < 0.05", None, True, None),
        ("robustness >= 0.8 * champion", CHAMPION, True, 0.72),
        ("robustness >= 0.95 * champion", CHAMPION, False, 0.855),
        ("robustness >= 0.95*champion", None, True, None),
        ("params <= champion", CHAMPION, True, 2000.0),
        ("accuracy > champion", CHAMPION, True, 0.92),
        ("accuracy >= 1.02 * champion", CHAMPION, False, 0.9384),
        ("accuracy_low > chance", None, True, 0.4),
        ("accuracy_low > 2 * chance", None, True, 0.8),
        ("accuracy_low >= 2.5*chance", CHAMPION, False, 1.0),
    ],
)
def test_each_rule_compares_its_metric_with_its_limit(
    rule: str, champion: dict[str, float] | None, holds: bool, limit: float | None
) -> None:
    (verdict,) = check_gate([rule], FIGURES, champion)
    assert verdict.holds is holds
    assert verdict.rule == rule
    assert verdict.limit == (None if limit is None else pytest.approx(limit))


@pytest.mark.parametrize(
    ("own", "asked"),
    [
        ((), (BETTER_THAN_CHANCE,)),
        (("latency_ms <= 5",), (BETTER_THAN_CHANCE, "latency_ms <= 5")),
        (("accuracy >= 0.95 * champion",), (BETTER_THAN_CHANCE, "accuracy >= 0.95 * champion")),
        (("accuracy >= 0.2",), ("accuracy >= 0.2",)),
        (("accuracy_low > 1.5 * chance",), ("accuracy_low > 1.5 * chance",)),
    ],
)
def test_a_network_must_be_better_than_chance_unless_a_user_rule_checks_its_accuracy(
    own: tuple[str, ...], asked: tuple[str, ...]
) -> None:
    assert rules_for_every_network(own) == asked


def test_a_network_below_chance_is_not_promoted() -> None:
    labels = np.repeat([0, 1, 2], 30)
    test = Split("test", np.zeros((90, 2, 2, 1), np.uint8), labels, "a" * 64)
    figures = completed({"accuracy": 29 / 90}, test, 0.95)
    verdicts = check_gate(rules_for_every_network(()), figures, None)
    decision = decide(RegistryState(0, None, None, False), verdicts, None)
    assert decision.alias == "challenger"
    assert "limit 0.333333" in decision.reason


def test_the_robustness_of_guessing_is_undefined_and_violates_a_rule_on_it() -> None:
    guessing = {"accuracy": 0.5, "chance": 0.5, "accuracy_blur": 0.52}
    (verdict,) = check_gate(["robustness >= 0.1"], guessing, None)
    assert not verdict.holds
    assert "(undefined, because" in verdict.sentence
    (verdict,) = check_gate(["robustness >= 0.9 * champion"], guessing | {"robustness": 0.8}, guessing)
    assert verdict.holds
    assert "undefined for the champion" in verdict.sentence


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
    ("rule", "message"),
    [
        ("accuracy", "METRIC, then"),
        ("accuracy >= high", "METRIC, then"),
        ("accuracy => 0.9", "METRIC, then"),
        ("accuracy >= 0.9 and latency_ms < 3", "METRIC, then"),
        ("accuracy >= 0.9 * challenger", "METRIC, then"),
        ("__import__('os') >= 1", "METRIC, then"),
        ("acuracy >= 0.9", "one of accuracy"),
        ("latency_ms <= champion", "compared with the champion must be one of"),
        ("p_value < 0.5 * champion", "compared with the champion must be one of"),
        ("robustness > chance", "compared with chance must be one of accuracy"),
    ],
)
def test_a_rule_with_invalid_syntax_or_an_unknown_metric_is_reported(rule: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_rule(rule)


def test_a_missing_metric_is_reported_with_the_available_ones() -> None:
    with pytest.raises(
        UserError, match=r"'macro_f1' must be a metric of the evaluation.*: accuracy, accuracy_low, chance"
    ):
        check_gate(["macro_f1 > 0.5"], FIGURES, None)


NEW = RegistryState(versions=1, champion=1, own=None, lineage=True)
HOLDS, BROKEN = (RuleResult("accuracy >= 0.5", value, 0.5, value >= 0.5) for value in (0.9, 0.4))


def champion_comparison(difference: float) -> ChampionComparison:
    return ChampionComparison(1, 0.9, Comparison(difference, difference - 0.005, difference + 0.005, 0.04, 3, 2))


@pytest.mark.parametrize(
    ("state", "verdict", "comparison", "alias", "reason"),
    [
        (RegistryState(0, None, None, False), HOLDS, None, "champion", "the first champion"),
        (RegistryState(2, None, None, False), HOLDS, None, "champion", "there was no champion"),
        (RegistryState(0, None, None, False), BROKEN, None, "challenger", "accuracy >= 0.5 (value 0.4)"),
        (NEW, HOLDS, champion_comparison(0.02), "champion", "0.92, compared with 0.9 for the champion (version 1)"),
        (NEW, HOLDS, champion_comparison(0.0), "challenger", "p = 0.04"),
        (NEW, HOLDS, champion_comparison(-0.02), "challenger", "accuracy 0.88"),
        (NEW, BROKEN, champion_comparison(0.02), "challenger", "it violates accuracy"),
        (RegistryState(1, 1, 1, True), HOLDS, None, "champion", "already the champion"),
        (RegistryState(1, 1, 1, True), BROKEN, None, "challenger", "it now violates accuracy"),
        (RegistryState(1, 1, None, False), HOLDS, None, "champion", "a new lineage"),
        (RegistryState(1, 1, None, False), BROKEN, None, "challenger", "it violates accuracy"),
        (RegistryState(2, 1, 2, True), HOLDS, champion_comparison(0.01), "champion", "on the same test data"),
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
