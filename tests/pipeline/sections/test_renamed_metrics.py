"""Former names of keys of params.yaml and of metrics."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.params_file import RENAMED as KEYS
from pipeline.registry.split_usage import SplitUsage
from pipeline.report.builder import ReportBuilder
from pipeline.report.promotion import add_split_usage
from pipeline.sections.gate_rules import METRICS as EVALUATED
from pipeline.sections.load import load_params
from pipeline.sections.renamed_metrics import METRICS
from search.analysis.trials_csv import summary
from tests.search.harness import StudyHarness

ROOT = Path(__file__).resolve().parents[3]


def dotted(content: Mapping[str, Any], at: str = "") -> set[str]:
    """All keys of nested mappings."""
    found = set()
    for key, value in content.items():
        found |= {f"{at}{key}"} | (dotted(value, f"{at}{key}.") if isinstance(value, dict) else set())
    return found


def test_every_former_key_refers_to_an_existing_one() -> None:
    known = dotted(load_params(ROOT / "params.yaml").model_dump(mode="json", by_alias=True))
    assert set(KEYS.values()) <= known
    assert not set(KEYS) & known


@pytest.mark.slow
def test_every_former_metric_refers_to_an_existing_one(tmp_path: Path) -> None:
    harness = StudyHarness(tmp_path, trials=1)
    of_study = summary(tuple(harness.driver().run()), harness.config)
    report = ReportBuilder(tmp_path)
    add_split_usage(report, SplitUsage(networks=2, decisions=1, shared=True), accuracy=0.9, images=100)
    known = {*EVALUATED, *of_study, *report.metrics}
    assert set(METRICS.values()) <= known
    assert not set(METRICS) & known
