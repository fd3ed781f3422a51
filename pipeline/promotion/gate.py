"""Whether a network may serve: each rule of the gate with the figures that it was judged by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.errors import UserError
from pipeline.params.gate import AGAINST_CHAMPION, CORRUPTIONS, MEASURED, parse_rule

_CORRUPTED = tuple(f"accuracy_{name}" for name in CORRUPTIONS)


@dataclass(frozen=True)
class RuleResult:
    """A rule, as it was judged.

    Attributes:
        rule: as it was written.
        value: of the network; None: there is no champion to compare with, or the figure is undefined.
        limit: what the value was compared with; None: there is no champion to compare with, or its figure is undefined.
        holds: whether the rule is obeyed. A rule without anything to compare with is; one on an undefined value is not.
    """

    rule: str
    value: float | None
    limit: float | None
    holds: bool

    @property
    def sentence(self) -> str:
        """The rule with its figures."""
        if self.limit is None:
            lacks = (
                "there is no other champion to compare with" if self.value is None else "the champion's is undefined"
            )
            return f"{self.rule} ({lacks})"
        if self.value is None:
            return f"{self.rule} (it is undefined, since the accuracy is not above chance beyond doubt)"
        return f"{self.rule} (it is {self.value:.6g}{_beside(self.limit, self.rule)})"


def check_gate(
    gate: Sequence[str], figures: Mapping[str, float], champion: Mapping[str, float] | None
) -> tuple[RuleResult, ...]:
    """Judge a network by each rule.

    Args:
        gate: the rules.
        figures: of the network, by name; `chance` among them.
        champion: figures of the champion on the same test data; None: there is none to compare with.

    Raises:
        UserError: a rule names a figure that the evaluation lacks.
    """
    return tuple(_check_rule(rule, figures, champion) for rule in gate)


def lacking(rule: str, figures: Mapping[str, float]) -> UserError:
    """What to raise for a rule on a figure that the evaluation lacks."""
    return UserError(
        f"params.yaml: register.gate: {parse_rule(rule).metric!r} must be a figure of the evaluation, got {rule!r}; "
        f"known: {', '.join(sorted(figures))}"
    )


def is_undefined(metric: str, figures: Mapping[str, float]) -> bool:
    """Whether a figure has no meaning for a network: the robustness of one that is not above chance beyond doubt."""
    return (
        metric in ("robustness", "robustness_low", "robustness_high")
        and metric not in figures
        and any(name in figures for name in _CORRUPTED)
    )


def asked_for(gate: tuple[str, ...], figures: Mapping[str, float]) -> dict[str, float]:
    """The figures of the evaluation that the rules ask for.

    Raises:
        UserError: a rule names one that the evaluation lacks.
    """
    asked = {}
    for text in gate:
        metric = parse_rule(text).metric
        if metric in figures:
            asked[metric] = figures[metric]
        elif metric not in (*MEASURED, *AGAINST_CHAMPION) and not is_undefined(metric, figures):
            raise lacking(text, figures)
    return asked


def _check_rule(text: str, figures: Mapping[str, float], champion: Mapping[str, float] | None) -> RuleResult:
    rule = parse_rule(text)
    if champion is None and (rule.relative or rule.metric in AGAINST_CHAMPION):
        return RuleResult(rule.text, None, None, True)
    if is_undefined(rule.metric, figures):
        return RuleResult(rule.text, None, rule.number, False)
    if rule.metric in MEASURED and rule.metric not in figures:
        raise UserError(
            f"params.yaml: register.gate: {rule.metric!r} must be measured, but it is not available on this machine; "
            f"leave {text!r} out"
        )
    if rule.metric not in figures:
        raise lacking(text, figures)
    if rule.relative and champion is not None and is_undefined(rule.metric, champion):
        return RuleResult(rule.text, figures[rule.metric], None, True)
    if rule.relative and rule.metric not in (champion or {}):
        raise lacking(text, figures)
    value = figures[rule.metric]
    limit = rule.number
    if rule.factor_on == "chance":
        limit *= figures["chance"]
    elif champion and rule.relative:
        limit *= champion[rule.metric]
    return RuleResult(rule.text, value, limit, rule.holds(value, limit))


def _beside(limit: float, rule: str) -> str:
    if "chance" in rule:
        return f", the limit {limit:.6g}; chance is the share of the largest class"
    return f", the limit {limit:.6g}" if "champion" in rule else ""
