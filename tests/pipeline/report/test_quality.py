from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest

from pipeline.data.split import Split
from pipeline.evaluation.metrics import Predictions
from pipeline.report.builder import ReportBuilder
from pipeline.report.quality import add_quality_section
from tests.pipeline.param_sections import params_with

LABELS = np.array([0, 0, 0, 1])


@pytest.mark.parametrize(("setting", "weights"), [("none", ()), ("balanced", ("0.6667", "2"))])
def test_the_page_lists_the_weight_of_each_class_in_the_loss(
    tmp_path: Path, setting: Literal["none", "balanced"], weights: tuple[str, ...]
) -> None:
    images = np.zeros((4, 4, 4, 1), np.uint8)
    evaluation: Any = SimpleNamespace(
        params=params_with().evaluate.model_copy(update={"resamples": 100}), seed=0, classes=("many", "few"),
        predictions=Predictions(np.full((4, 2), 0.5), LABELS), test=Split("test", images, LABELS, ""), kind="image",
        training=SimpleNamespace(class_weight=setting), data=SimpleNamespace(train=Split("train", images, LABELS, "")),
    )  # fmt: skip
    report = ReportBuilder(tmp_path)
    add_quality_section(report, evaluation)
    page = report.sections[0].content
    assert ("weight in the loss" in page) is bool(weights)
    assert all(f">{weight}<" in page for weight in weights)
