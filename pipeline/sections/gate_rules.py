"""Gate rules, such as `accuracy >= 0.95` or `robustness >= 0.8 * champion`.

A rule compares a metric with a number, or with a multiple of the champion's value or of chance.
"""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast, get_args

from pipeline.sections.renamed_metrics import METRICS as RENAMED

Corruption = Literal[
    "shift", "shrink", "grow", "rotation", "elastic", "gaussian_noise", "salt_and_pepper", "glare", "blur",
    "brightness", "contrast", "occlusion", "noise", "gain", "time_shift", "stretch", "masking",
]  # fmt: skip
CORRUPTIONS: tuple[Corruption, ...] = get_args(Corruption)
# The keys of METRICS in pipeline/evaluation/metrics.py.
QUALITY = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "top_k_accuracy",
    "log_loss",
    "brier_score",
    "expected_calibration_error",
)
# Metrics of series and recordings that were cut into several samples.
_WHOLE_FILES = tuple(f"whole_file_accuracy{end}" for end in ("", "_low", "_high"))
# Metrics that are recomputed for the champion on new test data. Only these can be compared with the champion.
COMPARABLE = (*QUALITY, "whole_file_accuracy", "robustness", *(f"accuracy_{name}" for name in CORRUPTIONS), "params")
# All metrics of an evaluation; metrics.json and details.json in reports/evaluate contain no others.
METRICS = (
    *(f"{name}{end}" for name in QUALITY for end in ("", "_low", "_high")),
    "images", "chance", *_WHOLE_FILES, "whole_file_chance", *(f"robustness{end}" for end in ("", "_low", "_high")),
    *(f"accuracy_{name}" for name in CORRUPTIONS),
    "auroc_noise", "auroc_shuffled", "auroc_outliers", "ood_false_positive_rate",
    "pixel_permutation_drop", "silhouette", "params", "macs", "file_bytes", "baseline_difference", "baseline_p_value",
)  # fmt: skip
# Metrics that are measured on the machine.
MEASURED = (
    "latency_ms", "latency_p95_ms", "images_per_second", "images_per_second_p5", "joules_per_image",
)  # fmt: skip
# Metrics computed from the champion's predictions for the same images.
AGAINST_CHAMPION = ("difference", "difference_low", "p_value")
# Metrics that can be compared with chance: the share of the largest class, which is the accuracy of always predicting
# that class.
_COMPARABLE_WITH_CHANCE = (
    "accuracy", "accuracy_low", "accuracy_high", *_WHOLE_FILES, *(f"accuracy_{name}" for name in CORRUPTIONS),
)  # fmt: skip

PromoteIf = Literal["better", "not_worse", "higher"]
FactorOn = Literal["champion", "chance"]

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RULE = re.compile(rf"\s*(\w+)\s*(>=|<=|>|<)\s*(?:({_NUMBER})\s*(?:\*\s*(champion|chance))?|(champion|chance))\s*")


@dataclass(frozen=True)
class Rule:
    """A parsed gate rule.

    Attributes:
        text: The rule as written in params.yaml.
        metric: Name of the metric.
        sign: The comparison operator.
        number: The limit, or a factor of the limit.
        factor_on: The value that `number` is multiplied by; None if `number` is the limit itself.
    """

    text: str
    metric: str
    sign: str
    number: float
    factor_on: FactorOn | None

    @property
    def relative(self) -> bool:
        """Whether the rule compares with the champion's value."""
        return self.factor_on == "champion"

    def holds(self, value: float, limit: float) -> bool:
        """Whether the rule holds for a value of the metric and a limit."""
        return _COMPARISONS[self.sign](value, limit)


def parse_rule(text: str) -> Rule:
    """Parse a rule of `register.gate`, such as `accuracy >= 0.95` or `robustness >= 0.8 * champion`.

    Raises:
        ValueError: The rule does not parse, names an unknown metric, or compares a metric with a value that it cannot
            be compared with.
    """
    parsed = _RULE.fullmatch(text)
    if parsed is None:
        raise ValueError(
            "must be METRIC, then >=, <=, > or <, then a number, champion, chance, NUMBER * champion or "
            f"NUMBER * chance, got {text!r}; write, for example, accuracy >= 0.9"
        )
    metric, sign, number, times, alone = parsed.groups()
    if metric in RENAMED:
        raise ValueError(f"{metric} was renamed to {RENAMED[metric]}, got {text!r}; write {RENAMED[metric]}")
    known = (*METRICS, *MEASURED, *AGAINST_CHAMPION)
    if metric not in known:
        raise ValueError(f"the metric of a rule must be one of {', '.join(known)}, got {metric!r}")
    factor_on: FactorOn | None = cast(FactorOn, times or alone) if times or alone else None
    if factor_on == "champion" and metric not in COMPARABLE:
        raise ValueError(
            f"a metric that is compared with the champion must be one of {', '.join(COMPARABLE)}, got {metric!r}; "
            "compare it with a number instead"
        )
    if factor_on == "chance" and metric not in _COMPARABLE_WITH_CHANCE:
        raise ValueError(
            f"a metric that is compared with chance must be one of {', '.join(_COMPARABLE_WITH_CHANCE)}, "
            f"got {metric!r}; compare it with a number instead"
        )
    return Rule(text.strip(), metric, sign, float(number) if number else 1.0, factor_on)
