"""The gate, rule by rule, and the decision that follows."""

import pytest

from pipeline.decision import Rival, Standing, decide
from pipeline.gate import Verdict, judge
from pipeline.judge.comparison import Comparison
from pipeline.params.gate import parse_rule
from pipeline.terminal import UserError

FIGURES = {"accuracy": 0.93, "robustness": 0.8, "latency_ms": 4.0, "p_value": 0.03, "params": 1000.0}
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
    ],
)
def test_each_rule_is_judged_by_its_figure_and_limit(
    rule: str, champion: dict[str, float] | None, holds: bool, limit: float | None
) -> None:
    (verdict,) = judge([rule], FIGURES, champion)
    assert verdict.holds is holds
    assert verdict.rule == rule
    assert verdict.limit == (None if limit is None else pytest.approx(limit))


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("accuracy", "METRIC, then"),
        ("accuracy >= high", "METRIC, then"),
        ("accuracy => 0.9", "METRIC, then"),
        ("accuracy >= 0.9 and latency_ms < 3", "METRIC, then"),
        ("accuracy >= 0.9 * challenger", "METRIC, then"),
        ("__import__('os') >= 1", "METRIC, then"),
        ("acuracy >= 0.9", "one of accuracy"),
        ("latency_ms <= champion", "a champion is compared by"),
        ("p_value < 0.5 * champion", "a champion is compared by"),
    ],
)
def test_a_rule_that_does_not_parse_or_names_no_figure_is_told(rule: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_rule(rule)


def test_a_figure_that_the_evaluation_lacks_is_told_with_those_it_has() -> None:
    with pytest.raises(UserError, match=r"'macro_f1' must be a figure of the evaluation.*known: accuracy, robustness"):
        judge(["macro_f1 > 0.5"], FIGURES, None)


NEW = Standing(versions=1, champion=1, own=None, lineage=True)
HOLDS, BROKEN = (Verdict("accuracy >= 0.5", value, 0.5, value >= 0.5) for value in (0.9, 0.4))


def rival(difference: float) -> Rival:
    return Rival(1, 0.9, Comparison(difference, difference - 0.1, difference + 0.1, 0.04, 3, 2))


@pytest.mark.parametrize(
    ("standing", "verdict", "beside", "alias", "reason"),
    [
        (Standing(0, None, None, False), HOLDS, None, "champion", "the first champion"),
        (Standing(2, None, None, False), HOLDS, None, "champion", "there was no champion"),
        (Standing(0, None, None, False), BROKEN, None, "challenger", "accuracy >= 0.5 (it is 0.4)"),
        (NEW, HOLDS, rival(0.02), "champion", "accuracy 0.92 against 0.9 of the champion, version 1"),
        (NEW, HOLDS, rival(0.0), "challenger", "p = 0.04"),
        (NEW, HOLDS, rival(-0.02), "challenger", "accuracy 0.88"),
        (NEW, BROKEN, rival(0.02), "challenger", "the gate does not hold"),
        (Standing(1, 1, 1, True), HOLDS, None, "champion", "the champion already"),
        (Standing(1, 1, 1, True), BROKEN, None, "challenger", "champion no more"),
        (Standing(1, 1, None, False), HOLDS, None, "champion", "a new lineage"),
        (Standing(1, 1, None, False), BROKEN, None, "challenger", "the gate does not hold"),
        (Standing(2, 1, 2, True), HOLDS, rival(0.01), "champion", "on the same test data"),
    ],
)
def test_the_decision_follows_from_the_gate_and_the_champion(
    standing: Standing, verdict: Verdict, beside: Rival | None, alias: str, reason: str
) -> None:
    decision = decide(standing, [verdict], beside)
    assert decision.alias == alias
    assert reason in decision.reason
    assert decision.verdicts == (verdict,)
