"""Where rungs are."""

from pathlib import Path

import pytest

from search.report.rungs_line import rungs_in_words
from search.study.job import Job
from search.study.rungs import make_rungs, shares, with_long_rungs
from tests.search.harness import StudyHarness, recording


@pytest.mark.parametrize(
    ("images", "batch_size", "fidelity", "expected"),
    [
        (1221, 64, "epochs", [2, 6, 9]),  # 20 steps per epoch
        (122, 64, "epochs", [9]),  # 2 steps per epoch: 18 steps in total
        (122, 8, "epochs", [3, 9]),
        (10_000, 64, "epochs", [1, 3, 9]),
        (10_000, 64, "both", [2, 6, 9]),  # the first epochs use only a part of the images
    ],
)
def test_the_first_rung_has_enough_steps_to_learn_something(
    tmp_path: Path, images: int, batch_size: int, fidelity: str, expected: list[int]
) -> None:
    asked = StudyHarness(tmp_path, fidelity=fidelity, min_epochs=1, min_steps=40).settings
    settings = with_long_rungs(asked, images, batch_size)
    found = make_rungs(settings)
    assert [rung.epoch for rung in found] == expected
    text = rungs_in_words(found, images, batch_size)
    assert ("no trial is pruned" in text) == (len(expected) == 1)
    assert with_long_rungs(asked.model_copy(update={"min_steps": 0}), images, batch_size).min_epochs == 1


@pytest.mark.parametrize(
    ("fidelity", "expected"),
    [
        ("epochs", [(1, 1, 1.0), (3, 3, 1.0), (9, 9, 1.0)]),
        ("data", [(1, 1, 1 / 9), (3, 2, 1 / 3), (9, 9, 1.0)]),
        ("both", [(1, 1, 1 / 9), (3, 3, 1 / 3), (9, 9, 1.0)]),
    ],
)
def test_rungs_grow_in_epochs_or_in_data(tmp_path: Path, fidelity: str, expected: list[tuple[int, int, float]]) -> None:
    jobs: list[Job] = []
    harness = StudyHarness(tmp_path, recording(jobs), trials=1, pruner="none", fidelity=fidelity)
    harness.run()
    found = harness.config.rungs
    assert [(rung.resource, rung.epoch, rung.share) for rung in found] == expected
    assert [job.until for job in jobs] == [epoch for _, epoch, _ in expected]
    assert all(job.shares == shares(found) and len(job.shares) == 9 for job in jobs)
