"""The choice between two trained networks."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.evaluation.choice import Choice, Role, ValidationResult, choose, read_choice, write_choice
from pipeline.params.search import Objective

IMAGES = 100


def network(right: int, val_loss: float = 0.5, params: int = 1000, val_macro_f1: float = 0.5) -> ValidationResult:
    """Figures of a network that classifies the first `right` of 100 images correctly."""
    figures = {"val_accuracy": right / IMAGES, "val_loss": val_loss, "val_macro_f1": val_macro_f1}
    return ValidationResult(figures, params, np.arange(IMAGES) < right)


def chosen(
    winner: ValidationResult,
    baseline: ValidationResult,
    quality: Objective = "val_accuracy",
    tolerance: float | None = None,
    seeds: int = 0,
) -> Choice:
    return choose({"winner": winner, "baseline": baseline}, quality, tolerance, seeds=seeds)


@pytest.mark.parametrize(
    ("winner", "baseline", "expected", "reason"),
    [
        (network(91), network(90), "winner", "better val_accuracy after training"),
        (network(90), network(91), "baseline", "better val_accuracy after training"),
        (network(90, val_loss=0.3), network(90, val_loss=0.4), "winner", "equal val_accuracy, lower val_loss"),
        (network(90, val_loss=0.4), network(90, val_loss=0.3), "baseline", "equal val_accuracy, lower val_loss"),
        (network(90, params=10), network(90, params=20), "winner", "equal val_accuracy and val_loss, fewer parameters"),
        (network(90, params=20), network(90, params=10), "baseline", "and val_loss, fewer parameters"),
        (network(90), network(90), "winner", "equal val_accuracy, val_loss and number of parameters"),
    ],
    ids=[
        "accuracy",
        "accuracy of the baseline",
        "loss",
        "loss of the baseline",
        "size",
        "size of the baseline",
        "equal",
    ],
)
def test_the_better_network_is_selected_and_ties_are_broken_by_loss_and_size(
    winner: ValidationResult, baseline: ValidationResult, expected: Role, reason: str
) -> None:
    choice = chosen(winner, baseline)
    assert choice.chosen == expected
    assert {choice.chosen, choice.runner_up} == {"winner", "baseline"}
    assert reason in choice.reason


def test_the_first_objective_of_the_study_decides() -> None:
    winner, baseline = network(90, val_loss=0.4, val_macro_f1=0.8), network(95, val_loss=0.5, val_macro_f1=0.7)
    choice = chosen(winner, baseline, "val_loss")
    assert (choice.chosen, choice.reason) == ("winner", "better val_loss after training")
    assert chosen(winner, baseline, "val_macro_f1").chosen == "winner"
    assert chosen(winner, baseline, "val_accuracy").chosen == "baseline"


def test_a_study_that_chooses_the_cheapest_keeps_its_winner_within_the_tolerance() -> None:
    assert chosen(network(90), network(91), tolerance=0.01).chosen == "winner"
    assert chosen(network(90), network(92), tolerance=0.01).chosen == "baseline"
    assert "within the tolerance of 0.01" in chosen(network(90), network(91), tolerance=0.01).sentences[0]


def test_a_winner_over_several_seeds_is_kept_unless_the_baseline_is_significantly_better() -> None:
    choice = chosen(network(90), network(92), seeds=3)
    assert choice.chosen == "winner"
    assert choice.sentences[0].endswith("it was better in the mean of 3 other training runs in the study")
    assert choice.difference == pytest.approx(-0.02)
    assert chosen(network(80), network(92), seeds=3).chosen == "baseline"
    assert chosen(network(90, val_loss=0.4), network(90, val_loss=0.3), seeds=3).chosen == "winner"
    assert choose({"winner": network(90), "baseline": network(92)}, "val_accuracy", None).chosen == "baseline"
    assert chosen(network(92), network(90), seeds=3).sentences[0].endswith("better val_accuracy after training")


def test_the_sentences_state_the_choice_the_difference_and_its_significance() -> None:
    decision, significance = chosen(network(91), network(90)).sentences
    assert decision == (
        "the study's winner is selected: val_accuracy 0.9100 compared with 0.9000 for the baseline; "
        "better val_accuracy after training"
    )
    assert significance.startswith("difference +0.0100 on 100 validation images (95% interval -0.0")
    assert significance.endswith("p = 1): the difference is not significant")


def test_a_large_difference_is_reported_as_significant() -> None:
    assert chosen(network(90), network(95)).sentences[1].endswith("p = 0.0625): the difference is not significant")
    choice = chosen(network(60), network(90))
    assert choice.difference == pytest.approx(0.3)
    assert choice.difference_low is not None
    assert choice.difference_low > 0.15
    assert choice.sentences[1].endswith(": the difference is significant")


def test_a_single_network_is_selected_without_a_comparison() -> None:
    choice = choose({"baseline": network(90)}, "val_accuracy", None, "the study's winner is the baseline")
    assert (choice.chosen, choice.runner_up, choice.difference) == ("baseline", None, None)
    assert choice.sentences == ("the baseline is selected: the study's winner is the baseline",)


def test_a_choice_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    choice = chosen(network(91), network(90))
    write_choice(choice, tmp_path / "choice.json")
    assert read_choice(tmp_path / "choice.json") == choice


@pytest.mark.parametrize(
    ("content", "rule"), [(None, "no such file"), ("{", "must be the choice"), ("[1]", "must be the choice")]
)
def test_an_invalid_choice_file_is_refused(content: str | None, rule: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "choice.json").write_text(content)
    with pytest.raises(UserError, match=rule):
        read_choice(tmp_path / "choice.json")
