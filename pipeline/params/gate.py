"""Rules of the gate: a figure, a comparison, and a number or so many times the champion's figure."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

Corruption = Literal[
    "shift", "shrink", "grow", "rotation", "elastic", "gaussian_noise", "salt_and_pepper", "glare", "blur",
    "brightness", "contrast", "occlusion",
]  # fmt: skip
CORRUPTIONS: tuple[Corruption, ...] = get_args(Corruption)
_QUALITY = (
    "accuracy", "balanced_accuracy", "macro_f1", "top_k_accuracy", "log_loss", "brier_score",
    "expected_calibration_error",
)  # fmt: skip
# What a champion is judged by again on other test data, and so what a rule may compare with.
COMPARABLE = (*_QUALITY, "robustness", *(f"accuracy_{name}" for name in CORRUPTIONS), "params")
# What an evaluation may find; metrics.json and details.json in reports/evaluate have nothing else.
METRICS = (
    *(f"{name}{end}" for name in _QUALITY for end in ("", "_low", "_high")),
    "images", "robustness", *(f"accuracy_{name}" for name in CORRUPTIONS),
    "auroc_noise", "auroc_shuffled", "auroc_outliers", "false_alarms", "arrangement_worth", "silhouette",
    "params", "macs", "file_bytes", "baseline_difference", "baseline_p_value",
)  # fmt: skip
# What is measured on the machine.
MEASURED = (
    "latency_ms", "latency_p95_ms", "images_per_second", "images_per_second_p5", "joules_per_image",
)  # fmt: skip
# What follows from the champion's answers to the same images.
AGAINST_CHAMPION = ("difference", "p_value")

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RULE = re.compile(rf"\s*(\w+)\s*(>=|<=|>|<)\s*(?:({_NUMBER})\s*(\*\s*champion)?|(champion))\s*")


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        text: as it was written.
        metric: name of the figure.
        sign: the comparison.
        number: the limit, or the factor on the champion's figure.
        relative: whether the limit is that factor times the champion's figure.
    """

    text: str
    metric: str
    sign: str
    number: float
    relative: bool

    def holds(self, value: float, limit: float) -> bool:
        """Whether a figure obeys the rule."""
        return _COMPARISONS[self.sign](value, limit)


def parse_rule(text: str) -> Rule:
    """A rule of `register.gate`, such as `accuracy >= 0.95` or `robustness >= 0.8 * champion`.

    Raises:
        ValueError: it does not parse, or names an unknown figure, or one that a champion is not judged by.
    """
    parsed = _RULE.fullmatch(text)
    if parsed is None:
        raise ValueError(
            f"a rule is METRIC, then >=, <=, > or <, then a number, champion, or a number * champion, got {text!r}"
        )
    metric, sign, number, times, alone = parsed.groups()
    known = (*METRICS, *MEASURED, *AGAINST_CHAMPION)
    if metric not in known:
        raise ValueError(f"a rule's metric is one of {', '.join(known)}, got {metric!r}")
    relative = bool(times or alone)
    if relative and metric not in COMPARABLE:
        raise ValueError(f"a champion is compared by one of {', '.join(COMPARABLE)}, got {metric!r}")
    return Rule(text.strip(), metric, sign, float(number) if number else 1.0, relative)
