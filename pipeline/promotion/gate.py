"""Check the gate: the rules that a network must satisfy to become champion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.errors import UserError
from pipeline.sections.gate_rules import AGAINST_CHAMPION, CORRUPTIONS, MEASURED, parse_rule

# Applies to every network, unless one of the user's rules is about its accuracy.
BETTER_THAN_CHANCE = "accuracy_low > chance"
# Replaces it if series or recordings were cut into several samples, since these are not independent.
FILES_BETTER_THAN_CHANCE = "whole_file_accuracy_low > chance"
_ACCURACY = ("accuracy", "accuracy_low", "whole_file_accuracy", "whole_file_accuracy_low")
_CORRUPTED = tuple(f"accuracy_{name}" for name in CORRUPTIONS)


@dataclass(frozen=True)
class RuleResult:
    """Result of a rule.

    Attributes:
        rule: The rule as it was written.
        value: Metric of the network; None: there is no champion to compare with, or the metric is undefined.
        limit: Limit for the value; None: there is no champion to compare with, or its metric is undefined.
        holds: Whether the rule is satisfied. A rule without a limit is satisfied; a rule on an undefined value is
            violated.
    """

    rule: str
    value: float | None
    limit: float | None
    holds: bool

    @property
    def value_text(self) -> str:
        """The value, or why there is none."""
        if self.value is None:
            return "no other champion" if self.limit is None else "undefined"
        return f"{self.value:.6g}"

    @property
    def limit_text(self) -> str:
        """The limit, or why there is none."""
        if self.limit is None:
            return "no other champion" if self.value is None else "undefined for the champion"
        return f"{self.limit:.6g}"

    @property
    def sentence(self) -> str:
        """The rule with the value and the limit."""
        if self.limit is None:
            lacks = "no other champion to compare with" if self.value is None else "undefined for the champion"
            return f"{self.rule} ({lacks})"
        if self.value is None:
            return f"{self.rule} (undefined, because the accuracy is not significantly above chance)"
        return f"{self.rule} (value {self.value:.6g}{_limit_text(self.limit, self.rule)})"


def rules_for_every_network(gate: Sequence[str], metrics: Mapping[str, float]) -> tuple[str, ...]:
    """Return the user's rules, preceded by the default rule unless one of them is about the accuracy.

    Args:
        gate: The user's rules.
        metrics: Metrics of the evaluation; those of whole files are present if the test split contains parts of files.
    """
    rules = [parse_rule(text) for text in gate]
    own = any(rule.metric in _ACCURACY and not rule.relative for rule in rules)
    default = FILES_BETTER_THAN_CHANCE if "whole_file_accuracy_low" in metrics else BETTER_THAN_CHANCE
    return tuple(gate) if own else (default, *gate)


def check_gate(
    gate: Sequence[str], metrics: Mapping[str, float], champion: Mapping[str, float] | None
) -> tuple[RuleResult, ...]:
    """Check a network against each rule.

    Args:
        gate: The rules.
        metrics: Metrics of the network, by name, including `chance`.
        champion: Metrics of the champion on the same test data; None: there is no champion to compare with.

    Raises:
        UserError: A rule names a metric that the evaluation lacks.
    """
    return tuple(_check_rule(rule, metrics, champion) for rule in gate)


def lacking(rule: str, metrics: Mapping[str, float]) -> UserError:
    """Create the error for a rule on a metric that the evaluation lacks."""
    return UserError(
        f"params.yaml: register.gate: the metric of a rule must be in the evaluation, got {rule!r}; "
        f"available: {', '.join(sorted(metrics))}"
    )


def is_undefined(metric: str, metrics: Mapping[str, float]) -> bool:
    """Whether a metric is undefined: the robustness of a network that is not significantly above chance."""
    return (
        metric in ("robustness", "robustness_low", "robustness_high")
        and metric not in metrics
        and any(name in metrics for name in _CORRUPTED)
    )


def asked_for(gate: tuple[str, ...], metrics: Mapping[str, float]) -> dict[str, float]:
    """Select the metrics of the evaluation that the rules use.

    Raises:
        UserError: A rule names a metric that the evaluation lacks.
    """
    asked = {}
    for text in gate:
        metric = parse_rule(text).metric
        if metric in metrics:
            asked[metric] = metrics[metric]
        elif metric not in (*MEASURED, *AGAINST_CHAMPION) and not is_undefined(metric, metrics):
            raise lacking(text, metrics)
    return asked


def _check_rule(text: str, metrics: Mapping[str, float], champion: Mapping[str, float] | None) -> RuleResult:
    rule = parse_rule(text)
    if champion is None and (rule.relative or rule.metric in AGAINST_CHAMPION):
        return RuleResult(rule.text, None, None, True)
    if is_undefined(rule.metric, metrics):
        return RuleResult(rule.text, None, rule.number, False)
    if rule.metric in MEASURED and rule.metric not in metrics:
        raise UserError(
            f"params.yaml: register.gate: {rule.metric!r} cannot be measured on this machine; remove the rule {text!r}"
        )
    if rule.metric not in metrics:
        raise lacking(text, metrics)
    if rule.relative and champion is not None and is_undefined(rule.metric, champion):
        return RuleResult(rule.text, metrics[rule.metric], None, True)
    if rule.relative and rule.metric not in (champion or {}):
        raise lacking(text, metrics)
    value = metrics[rule.metric]
    limit = rule.number
    if rule.factor_on == "chance":
        limit *= metrics["whole_file_chance" if rule.metric.startswith("whole_file_") else "chance"]
    elif champion and rule.relative:
        limit *= champion[rule.metric]
    return RuleResult(rule.text, value, limit, rule.holds(value, limit))


def _limit_text(limit: float, rule: str) -> str:
    if "chance" in rule:
        return f", limit {limit:.6g}; chance is the share of the largest class"
    return f", limit {limit:.6g}" if "champion" in rule else ""
