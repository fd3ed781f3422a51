"""The uncertainty of a study's ranking with few validation images."""

from dataclasses import replace

import pytest

from pipeline.data.training_data import TrainingData
from search.analysis.trials_csv import summary
from search.analysis.uncertainty import tied_trials, uncertainty_in_words
from search.report.page import verdict
from search.report.runs import describe_study
from search.study.job import Job, RungResult
from search.study.results import TrialResult, best_of
from tests.search.harness import StudyHarness

ACCURACIES = (0.95, 0.99, 0.93, 0.40, 0.98)


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyHarness, tuple[TrialResult, ...]]:
    """A study of five trials with these accuracies, by trial."""
    known: list[str] = []

    def learn(job: Job, data: TrainingData) -> RungResult:
        name = f"{job.architecture.digest}{job.training}"
        if name not in known:
            known.append(name)
        figures = {
            "val_accuracy": ACCURACIES[known.index(name)],
            "val_macro_f1": 0.5,
            "val_balanced_accuracy": 0.5,
            "val_loss": 1.0,
        }
        return RungResult(
            tuple({"epoch": epoch, "loss": 1.0, **figures} for epoch in range(1, job.until + 1)), b"state"
        )

    harness = StudyHarness(
        tmp_path_factory.mktemp("studied"), learn, trials=5, pruner="none", concurrency=1, cost_aware=False
    )
    driver = harness.driver()
    for _ in driver.run():
        pass
    assert [result.val_accuracy for result in driver.ended()] == list(ACCURACIES)
    return harness, driver.ended()


def numbers(studied: tuple[StudyHarness, tuple[TrialResult, ...]], images: int) -> list[int]:
    harness, results = studied
    best = best_of(results, harness.settings)
    assert best is not None
    assert best.number == 1
    return [each.number for each in tied_trials(results, best, images)]


def test_trials_that_the_images_cannot_distinguish_from_the_best_are_tied(
    studied: tuple[StudyHarness, tuple[TrialResult, ...]],
) -> None:
    assert numbers(studied, 100) == [0, 2, 4]
    assert numbers(studied, 200) == [0, 4]
    assert numbers(studied, 300) == [4]
    assert numbers(studied, 10_000) == []


def test_tied_trials_are_listed_in_the_text_the_summary_and_mlflow(
    studied: tuple[StudyHarness, tuple[TrialResult, ...]],
) -> None:
    harness, results = studied
    best = best_of(results, harness.settings)
    assert best is not None
    first, second = uncertainty_in_words(results, best, "val_accuracy", 200)
    assert first.startswith("Trial 1 classifies 99.00% of 200 validation images correctly (95% interval 96.")
    assert second.startswith("On these images, trials 0 and 4 do not differ significantly from it in accuracy.")
    assert summary(results, harness.config)["tied_trials"] == 2
    assert second in describe_study("A study.", results, best, harness.config)


def test_if_trials_are_ranked_by_loss_their_uncertainty_is_unknown(
    studied: tuple[StudyHarness, tuple[TrialResult, ...]],
) -> None:
    harness, results = studied
    by_loss = harness.settings.model_copy(update={"objectives": ("val_loss",)})
    assert best_of(results, by_loss) is not None
    text = verdict(results, replace(harness.config, settings=by_loss))
    assert "not differ significantly from it in accuracy. The trials are ranked by " in text
    assert "The trials are ranked by val_loss. The uncertainty of this ranking is unknown." in text
    assert "chance" not in text


def test_the_weight_of_one_image_is_stated_if_it_exceeds_one_percent(
    studied: tuple[StudyHarness, tuple[TrialResult, ...]],
) -> None:
    harness, results = studied
    best = best_of(results, harness.settings)
    assert best is not None
    text = uncertainty_in_words(results, best, "val_accuracy", 22)[-1]
    assert "One validation image changes the accuracy by 4.5%" in text
    assert "One validation image" not in " ".join(uncertainty_in_words(results, best, "val_accuracy", 100))


def test_the_page_starts_with_the_same_text(studied: tuple[StudyHarness, tuple[TrialResult, ...]]) -> None:
    harness, results = studied
    text = verdict(results, replace(harness.config, val_images=50))
    assert "trials 0, 2 and 4 do not differ significantly from it" in text
    assert "One validation image changes the accuracy by 2.0%" in text
