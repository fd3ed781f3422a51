"""The comparison of a network with the champion."""

from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.data.dataset import Kind
from pipeline.evaluation.metrics import Predictions
from pipeline.promotion.champion import evaluate_champion
from tests.pipeline.param_sections import params_with


@pytest.mark.parametrize(("kind", "p_value"), [("audio", 1.0), ("image", 2 / 2**20)])
def test_parts_of_recordings_are_not_independent(kind: Kind, p_value: float) -> None:
    """Of 6 recordings of 20 parts each, the champion misclassifies one with all its parts."""
    labels = np.repeat([0, 1, 0, 1, 0, 1], 20)
    names = [f"{file}.wav ({part})" for file in "abcdef" for part in range(1, 21)]
    right = np.eye(2)[labels]
    theirs = np.concatenate([right[:20, ::-1], right[20:]])
    evaluation = evaluate_champion(
        Predictions(right, labels), SimpleNamespace(count_params=lambda: 1), lambda _: theirs, np.zeros((120, 1)),
        params_with().evaluate, 0, False, kind, names,
    )  # fmt: skip
    assert evaluation.comparison.p_value == pytest.approx(p_value)
    assert evaluation.comparison.difference == pytest.approx(1 / 6)
    assert evaluation.metrics.get("whole_file_accuracy") == (pytest.approx(5 / 6) if kind == "audio" else None)
