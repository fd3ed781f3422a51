"""Whether a network may serve: each rule of the gate with the figures that it was judged by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.params.gate import AGAINST_CHAMPION, MEASURED, parse_rule
from pipeline.terminal import UserError


@dataclass(frozen=True)
class Verdict:
    """A rule, as it was judged.

    Attributes:
        rule: as it was written.
        value: of the network; None: it asks for a champion to compare with, and there is none.
        limit: what the value was compared with; None: likewise.
        holds: whether the rule is obeyed; a rule without a champion to compare with is.
    """

    rule: str
    value: float | None
    limit: float | None
    holds: bool

    @property
    def sentence(self) -> str:
        """The rule with its figures."""
        if self.value is None or self.limit is None:
            return f"{self.rule} (there is no other champion to compare with)"
        return f"{self.rule} (it is {self.value:.6g}{_beside(self.limit, self.rule)})"


def judge(
    gate: Sequence[str], figures: Mapping[str, float], champion: Mapping[str, float] | None
) -> tuple[Verdict, ...]:
    """Judge a network by each rule.

    Args:
        gate: the rules.
        figures: of the network, by name.
        champion: figures of the champion on the same test data; None: there is none to compare with.

    Raises:
        UserError: a rule names a figure that the evaluation lacks.
    """
    return tuple(_judge(rule, figures, champion) for rule in gate)


def lacking(rule: str, figures: Mapping[str, float]) -> UserError:
    """What to raise for a rule on a figure that the evaluation lacks."""
    return UserError(
        f"params.yaml: register.gate: {parse_rule(rule).metric!r} must be a figure of the evaluation, got {rule!r}; "
        f"known: {', '.join(figures)}"
    )


def _judge(text: str, figures: Mapping[str, float], champion: Mapping[str, float] | None) -> Verdict:
    rule = parse_rule(text)
    if champion is None and (rule.relative or rule.metric in AGAINST_CHAMPION):
        return Verdict(rule.text, None, None, True)
    if rule.metric in MEASURED and rule.metric not in figures:
        raise UserError(
            f"params.yaml: register.gate: {rule.metric!r} must be measured, but this machine does not tell it; leave "
            f"{text!r} out"
        )
    if rule.metric not in figures or (rule.relative and rule.metric not in (champion or {})):
        raise lacking(text, figures)
    value = figures[rule.metric]
    limit = rule.number * champion[rule.metric] if champion and rule.relative else rule.number
    return Verdict(rule.text, value, limit, rule.holds(value, limit))


def _beside(limit: float, rule: str) -> str:
    return f", the limit {limit:.6g}" if "champion" in rule else ""
