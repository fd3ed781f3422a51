"""Select the network for the later stages: the study's winner or the baseline."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import plural
from pipeline.evaluation.comparison import compare
from pipeline.file_content import read_json
from pipeline.params.search import OBJECTIVES, Objective

Role = Literal["winner", "baseline"]
CONFIDENCE = 0.95  # level of the interval; a change of evaluate.confidence_level must not cause a new training
RUNNER_UP_MODEL = Path("runner_up/model.keras")  # relative to the reports of the training, if there is a runner-up
NAMES: dict[Role, str] = {"winner": "the study's winner", "baseline": "the baseline"}


@dataclass(frozen=True)
class ValidationResult:
    """Results of a trained network on the validation split.

    Attributes:
        metrics: val_accuracy, val_loss and val_macro_f1 of its best epoch.
        params: Number of parameters.
        correct: (n,) whether each validation image is classified correctly.
    """

    metrics: Mapping[str, float]
    params: int
    correct: NDArray[np.bool_]


@dataclass(frozen=True)
class Choice:
    """The selected network, and how it compares with the other one.

    Attributes:
        chosen: The selected network.
        runner_up: The other network; None if there is no other trained network.
        reason: Reason for the selection, as a sentence.
        images: Number of validation images.
        val_accuracy: Validation accuracy of the selected network.
        runner_up_val_accuracy: Validation accuracy of the runner-up. Like all attributes below, None without a
            runner-up.
        difference: Validation accuracy of the selected network minus that of the runner-up.
        difference_low: Lower bound of the 95% interval of the difference.
        difference_high: Upper bound of the 95% interval of the difference.
        p_value: p-value of McNemar's test for the difference.
        samples: The samples in words.
    """

    chosen: Role
    runner_up: Role | None
    reason: str
    images: int
    val_accuracy: float
    runner_up_val_accuracy: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    p_value: float | None = None
    samples: str = "images"

    @property
    def sentences(self) -> tuple[str, ...]:
        """Sentences that describe the selection and its certainty."""
        if self.difference is None or self.runner_up is None or self.p_value is None:
            return (f"{NAMES[self.chosen]} is selected: {self.reason}",)
        clear = self.p_value < 1 - CONFIDENCE
        significance = "the difference is significant" if clear else "the difference is not significant"
        return (
            f"{NAMES[self.chosen]} is selected: val_accuracy {self.val_accuracy:.4f} compared with "
            f"{self.runner_up_val_accuracy:.4f} for {NAMES[self.runner_up]}; {self.reason}",
            f"difference {self.difference:+.4f} on {self.images:,} validation {self.samples} ({CONFIDENCE:.0%} "
            f"interval {self.difference_low:+.4f} to {self.difference_high:+.4f}, p = {self.p_value:.3g}): "
            f"{significance}",
        )


def choose(
    trained: Mapping[Role, ValidationResult],
    quality: Objective,
    tolerance: float | None,
    remark: str = "",
    seeds: int = 0,
    samples: str = "images",
) -> Choice:
    """Select a network on the validation split, by the rule of the study.

    The network with the better objective is selected. Ties are broken by the lower val_loss, then by fewer parameters.
    A study that selects the cheapest network keeps its winner within the tolerance: the baseline was part of the study,
    so it costs more than the winner or is worse. A study that trained both with several seeds keeps its winner unless
    the baseline is significantly better, since one training run each says less than the means over these seeds.

    Args:
        trained: Results of one or both networks, by role.
        quality: First objective of the study: val_accuracy, val_loss or val_macro_f1.
        tolerance: How much worse than the baseline the winner may be, since it is cheaper; None: the study selects the
            best network.
        remark: Why there is only one network.
        seeds: Number of times that the study trained both again before it chose the winner; 0: it compared one value
            of each.
        samples: The samples in words.
    """
    if len(trained) == 1:
        ((role, only),) = trained.items()
        return Choice(role, None, remark, len(only.correct), float(only.correct.mean()), samples=samples)
    winner, baseline = trained["winner"], trained["baseline"]
    shortfall = _shortfall(winner, baseline, quality)
    p_value = compare(winner.correct, baseline.correct, CONFIDENCE).p_value
    if tolerance is not None and shortfall <= tolerance + 1e-12:
        chosen: Role = "winner"
        reason = f"search.choose: cheapest keeps the winner within the tolerance of {tolerance:g}"
    elif seeds and shortfall >= 0.0 and p_value >= 1 - CONFIDENCE:
        chosen = "winner"
        reason = f"it was better in the mean of {seeds} other training {plural(seeds, 'run')} in the study"
    else:
        ranks: list[Role] = ["winner", "baseline"]
        chosen = min(ranks, key=lambda role: _rank(trained[role], quality))
        reason = _reason(winner, baseline, quality)
    runner_up: Role = "baseline" if chosen == "winner" else "winner"
    first, second = trained[chosen].correct, trained[runner_up].correct
    found = compare(first, second, CONFIDENCE)
    return Choice(
        chosen=chosen,
        runner_up=runner_up,
        reason=reason,
        images=len(first),
        val_accuracy=float(first.mean()),
        runner_up_val_accuracy=float(second.mean()),
        difference=found.difference,
        difference_low=found.low,
        difference_high=found.high,
        p_value=found.p_value,
        samples=samples,
    )


def write_choice(choice: Choice, path: Path) -> None:
    """Write a choice as JSON."""
    path.write_text(json.dumps(asdict(choice), indent=2) + "\n", encoding="utf-8")


def read_choice(path: Path) -> Choice:
    """Read a choice from a JSON file.

    Raises:
        UserError: The file is missing, or is not a choice.
    """
    return read_json(path, "the choice of the stage train", "run `dvc repro --force train`", Choice)


def _value(trained: ValidationResult, quality: Objective) -> float:
    """Value of an objective; higher is better. The accuracy is that of the finished network on the same images."""
    if quality == "val_accuracy":
        return float(trained.correct.mean())
    value = float(trained.metrics[quality])
    return value if OBJECTIVES[quality] == "maximize" else -value


def _rank(trained: ValidationResult, quality: Objective) -> tuple[float, float, int]:
    return (-_value(trained, quality), float(trained.metrics["val_loss"]), trained.params)


def _shortfall(winner: ValidationResult, baseline: ValidationResult, quality: Objective) -> float:
    return _value(baseline, quality) - _value(winner, quality)


def _reason(winner: ValidationResult, baseline: ValidationResult, quality: Objective) -> str:
    if _shortfall(winner, baseline, quality) != 0.0:
        return f"better {quality} after training"
    if winner.metrics["val_loss"] != baseline.metrics["val_loss"]:
        return f"equal {quality}, lower val_loss"
    if winner.params != baseline.params:
        return f"equal {quality} and val_loss, fewer parameters"
    return f"equal {quality}, val_loss and number of parameters; the winner is kept"
