"""The sentences about finalists: the spread over seeds, and how lucky the best trial was."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.params.search import FinalistsParams
from pipeline.sections.load import load_params
from search.analysis.finalists import finalists, finalists_in_words, optimism
from tests.search.harness import PARAMS
from tests.search.study.test_results import result


def finalist(number: int, own: float, *others: float) -> Any:
    finals = tuple({"val_accuracy": value, "val_loss": 1 - value} for value in others)
    return replace(result(number, own), finals=finals)


LUCKY = finalist(3, 0.95, 0.80, 0.84)
SOLID = finalist(2, 0.90, 0.88, 0.92)
BASELINE = finalist(0, 0.85, 0.84, 0.86)
SETTINGS = load_params(PARAMS).search.model_copy(
    update={"finalists": FinalistsParams(count=2, seeds=2, cross_validation=False)}
)
RESULTS = [BASELINE, result(1, 0.93), SOLID, LUCKY]


def test_finalists_are_sorted_by_their_means() -> None:
    assert [each.number for each in finalists(RESULTS, "val_accuracy")] == [2, 0, 3]
    assert [each.number for each in finalists(RESULTS, "val_loss")] == [2, 0, 3]


@pytest.mark.parametrize("objective", ["val_accuracy", "val_loss"])
def test_optimism_is_how_much_the_best_own_value_exceeds_its_mean(objective: str) -> None:
    assert optimism(RESULTS, objective) == pytest.approx(0.95 - 0.82)
    assert optimism([finalist(1, 0.5, 0.6)], objective) == pytest.approx(-0.1)
    assert optimism([result(1, 0.5)], objective) is None


def test_the_sentences_name_the_winner_the_luck_and_the_baseline() -> None:
    first, second, third, fourth = finalists_in_words(RESULTS, SOLID, SETTINGS)
    assert first == "3 finalists were trained 2 more times, with other seeds."
    assert second == "Trial 2 wins with a mean val_accuracy of 0.9000 (from 0.8800 to 0.9200); its own was 0.9000."
    assert third == (
        "The best val_accuracy of all trials, 0.9500 of trial 3, is 0.1300 better than the mean of this trial's "
        "network over the other seeds."
    )
    assert fourth == "The baseline's mean is 0.8500."


def test_a_winning_baseline_is_not_compared_with_itself() -> None:
    results = [finalist(0, 0.9, 0.95), finalist(1, 0.92, 0.8)]
    assert len(list(finalists_in_words(results, results[0], SETTINGS))) == 3


def test_without_finalists_there_are_no_sentences() -> None:
    assert list(finalists_in_words([result(0, 0.5)], result(0, 0.5), SETTINGS)) == []
