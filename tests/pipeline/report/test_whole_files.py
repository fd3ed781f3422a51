from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.data.kind import KINDS
from pipeline.data.split import Split
from pipeline.evaluation.metrics import Predictions, wilson_interval
from pipeline.evaluation.whole_files import whole_file_predictions
from pipeline.report.builder import ReportBuilder
from pipeline.report.whole_files import add_whole_files_section

NAMES = ("a.wav (1)", "a.wav (2)", "b.wav", "c (1).wav (1)", "c (1).wav (2)")
PROBABILITIES = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]])
LABELS = np.array([0, 0, 1, 1, 1])


def report_of(folder: Path, kind: str, names: tuple[str, ...] = NAMES, groups: tuple[str, ...] = ()) -> ReportBuilder:
    evaluation: Any = SimpleNamespace(
        kind=kind, predictions=Predictions(PROBABILITIES, LABELS), params=SimpleNamespace(confidence_level=0.95),
        test=Split("test", np.zeros((5, 1)), LABELS, "", names, groups),
    )  # fmt: skip
    report = ReportBuilder(folder, words=KINDS["audio"])
    add_whole_files_section(report, evaluation)
    return report


def test_the_predictions_for_the_windows_of_a_file_are_averaged() -> None:
    whole = whole_file_predictions(Predictions(PROBABILITIES, LABELS), "audio", NAMES)
    assert whole.probabilities == pytest.approx(np.array([[0.65, 0.35], [0.2, 0.8], [0.55, 0.45]]))
    assert whole.labels.tolist() == [0, 1, 1]


def test_the_page_states_the_accuracy_of_whole_recordings(tmp_path: Path) -> None:
    report = report_of(tmp_path, "audio")
    low, high = wilson_interval(2, 3, 0.95)
    assert report.metrics == pytest.approx(
        {
            "whole_file_accuracy": 2 / 3,
            "whole_file_accuracy_low": low,
            "whole_file_accuracy_high": high,
            "whole_file_chance": 2 / 3,
        }
    )
    (verdict,), (section,) = report.verdicts, report.sections
    assert "accuracy 0.6667" in verdict
    assert "1 mistake in 3 whole recordings" in verdict
    assert "5 test samples are parts of 3 whole recordings" in section.content


@pytest.mark.parametrize(
    ("groups", "text"),
    [
        (("a.wav", "a.wav", "b.wav", "c", "c"), "assumes that they are independent"),
        ((), "assumes that they are independent"),
        (("x",) * 5, "are of 1 group,"),
        (("x", "x", "y", "y", "y"), "are of 2 groups,"),
    ],
)
def test_the_page_states_that_the_intervals_ignore_groups(tmp_path: Path, groups: tuple[str, ...], text: str) -> None:
    (section,) = report_of(tmp_path, "audio", groups=groups).sections
    assert text in section.content


def test_images_and_files_of_one_window_have_no_such_section(tmp_path: Path) -> None:
    for kind, names in (("image", NAMES), ("audio", ("a", "b", "c", "d", "e"))):
        report = report_of(tmp_path, kind, names)
        assert (report.metrics, report.sections) == ({}, [])
