"""Rules of the gate: a figure, a comparison, and a limit: a number, or a factor on the champion's figure or chance."""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

Corruption = Literal[
    "shift", "shrink", "grow", "rotation", "elastic", "gaussian_noise", "salt_and_pepper", "glare", "blur",
    "brightness", "contrast", "occlusion",
]  # fmt: skip
CORRUPTIONS: tuple[Corruption, ...] = get_args(Corruption)
# Names of METRICS in pipeline/evaluation/metrics.py.
QUALITY = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "top_k_accuracy",
    "log_loss",
    "brier_score",
    "expected_calibration_error",
)
# What a champion is judged by again on other test data, and so what a rule may compare with.
COMPARABLE = (*QUALITY, "robustness", *(f"accuracy_{name}" for name in CORRUPTIONS), "params")
# What an evaluation may find; metrics.json and details.json in reports/evaluate have nothing else.
METRICS = (
    *(f"{name}{end}" for name in QUALITY for end in ("", "_low", "_high")),
    "images", "chance", *(f"robustness{end}" for end in ("", "_low", "_high")),
    *(f"accuracy_{name}" for name in CORRUPTIONS),
    "auroc_noise", "auroc_shuffled", "auroc_outliers", "false_alarms", "arrangement_worth", "silhouette",
    "params", "macs", "file_bytes", "baseline_difference", "baseline_p_value",
)  # fmt: skip
# What is measured on the machine.
MEASURED = (
    "latency_ms", "latency_p95_ms", "images_per_second", "images_per_second_p5", "joules_per_image",
)  # fmt: skip
# What follows from the champion's answers to the same images.
AGAINST_CHAMPION = ("difference", "difference_low", "p_value")
# What chance is a limit for: the share of the largest class, which always answering that class gets right.
_BESIDE_CHANCE = ("accuracy", "accuracy_low", "accuracy_high", *(f"accuracy_{name}" for name in CORRUPTIONS))
# Asked of every network, unless a rule of the user's is on its accuracy.
BETTER_THAN_CHANCE = "accuracy_low > chance"

Replace = Literal["better", "not_worse", "higher"]
FactorOn = Literal["champion", "chance"]

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RULE = re.compile(rf"\s*(\w+)\s*(>=|<=|>|<)\s*(?:({_NUMBER})\s*(?:\*\s*(champion|chance))?|(champion|chance))\s*")


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        text: as it was written.
        metric: name of the figure.
        sign: the comparison.
        number: the limit, or a factor.
        factor_on: what the number is a factor on; None: it is the limit itself.
    """

    text: str
    metric: str
    sign: str
    number: float
    factor_on: FactorOn | None

    @property
    def relative(self) -> bool:
        """Whether it compares with the champion's figure."""
        return self.factor_on == "champion"

    def holds(self, value: float, limit: float) -> bool:
        """Whether a figure obeys the rule."""
        return _COMPARISONS[self.sign](value, limit)


def parse_rule(text: str) -> Rule:
    """A rule of `register.gate`, such as `accuracy >= 0.95` or `robustness >= 0.8 * champion`.

    Raises:
        ValueError: it does not parse, or names an unknown figure, or compares it with what it is not comparable with.
    """
    parsed = _RULE.fullmatch(text)
    if parsed is None:
        raise ValueError(
            "a rule is METRIC, then >=, <=, > or <, then a number, champion, chance, or a number * champion or chance, "
            f"got {text!r}"
        )
    metric, sign, number, times, alone = parsed.groups()
    known = (*METRICS, *MEASURED, *AGAINST_CHAMPION)
    if metric not in known:
        raise ValueError(f"a rule's metric is one of {', '.join(known)}, got {metric!r}")
    factor_on: FactorOn | None = cast(FactorOn, times or alone) if times or alone else None
    if factor_on == "champion" and metric not in COMPARABLE:
        raise ValueError(f"a champion is compared by one of {', '.join(COMPARABLE)}, got {metric!r}")
    if factor_on == "chance" and metric not in _BESIDE_CHANCE:
        raise ValueError(f"what is compared with chance is one of {', '.join(_BESIDE_CHANCE)}, got {metric!r}")
    return Rule(text.strip(), metric, sign, float(number) if number else 1.0, factor_on)


def rules_for_every_network(gate: Sequence[str]) -> tuple[str, ...]:
    """The user's rules, and that the network is better than chance unless one of them is on its accuracy."""
    rules = [parse_rule(text) for text in gate]
    own = any(rule.metric in ("accuracy", "accuracy_low") and not rule.relative for rule in rules)
    return tuple(gate) if own else (BETTER_THAN_CHANCE, *gate)


def rules_against_champion(replace: Replace, alpha: float, margin: float) -> tuple[str, ...]:
    """What a network must show beside the present champion to take its place.

    Args:
        replace: `better`: it is better with p < alpha, and not worse; `not_worse`: non-inferiority alone; `higher`: its
            accuracy is higher by whatever.
        alpha: level of the p-value.
        margin: the champion's lead in accuracy must be below it, for the whole interval of the difference.
    """
    not_worse, higher = f"difference_low > {-margin:g}", "difference > 0"
    rules = {"better": (higher, f"p_value < {alpha:g}", not_worse), "not_worse": (not_worse,), "higher": (higher,)}
    return rules[replace]
