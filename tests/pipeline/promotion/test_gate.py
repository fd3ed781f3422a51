"""The rules of the gate."""

import pytest

from pipeline.errors import UserError
from pipeline.promotion.gate import (
    BETTER_THAN_CHANCE,
    FILES_BETTER_THAN_CHANCE,
    RuleResult,
    asked_for,
    check_gate,
    rules_for_every_network,
)
from pipeline.sections.gate_rules import parse_rule

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
    assert rules_for_every_network(own, FIGURES) == asked


def test_the_default_rule_counts_whole_files_if_they_were_cut_into_parts() -> None:
    """The parts are above their chance, but the six whole files are too few."""
    figures = FIGURES | {"whole_file_accuracy_low": 0.61, "whole_file_chance": 0.7}
    (verdict,) = check_gate(rules_for_every_network((), figures), figures, None)
    assert (verdict.rule, verdict.limit, verdict.holds) == (FILES_BETTER_THAN_CHANCE, 0.7, False)
    assert rules_for_every_network(("whole_file_accuracy_low >= 0.5",), figures) == ("whole_file_accuracy_low >= 0.5",)


def test_the_robustness_of_guessing_is_undefined_and_violates_a_rule_on_it() -> None:
    guessing = {"accuracy": 0.5, "chance": 0.5, "accuracy_blur": 0.52}
    (verdict,) = check_gate(["robustness >= 0.1"], guessing, None)
    assert not verdict.holds
    assert "(undefined, because" in verdict.sentence
    (verdict,) = check_gate(["robustness >= 0.9 * champion"], guessing | {"robustness": 0.8}, guessing)
    assert verdict.holds
    assert "undefined for the champion" in verdict.sentence


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
        UserError,
        match=r"the metric of a rule must be in the evaluation, got .*: accuracy, accuracy_low, chance",
    ):
        check_gate(["macro_f1 > 0.5"], FIGURES, None)


@pytest.mark.parametrize(
    ("value", "limit", "shown"),
    [
        (0.9, 0.5, ("0.9", "0.5")),
        (None, 0.5, ("undefined", "0.5")),
        (0.9, None, ("0.9", "undefined for the champion")),
        (None, None, ("no other champion", "no other champion")),
    ],
)
def test_a_result_shows_value_and_limit_or_why_there_is_none(
    value: float | None, limit: float | None, shown: tuple[str, str]
) -> None:
    result = RuleResult("robustness >= 0.5 * champion", value, limit, True)
    assert (result.value_text, result.limit_text) == shown


def test_only_the_metrics_of_the_rules_are_selected() -> None:
    rules = ("accuracy >= 0.9", "latency_ms <= 5", "difference > 0", "robustness >= 0.5")
    assert asked_for(rules, {"accuracy": 0.93, "macro_f1": 0.9, "robustness": 0.8}) == {
        "accuracy": 0.93,
        "robustness": 0.8,
    }
    assert asked_for(rules, {"accuracy": 0.5, "accuracy_blur": 0.5}) == {"accuracy": 0.5}  # an undefined robustness
    with pytest.raises(UserError, match=r"must be in the evaluation, got 'robustness >= 0\.5'; available: accuracy"):
        asked_for(rules, {"accuracy": 0.5})
