"""The extensions of docs/extending.md work in a copy of the project."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, SMALL, clone
from tests.docs.console import blocks

# All stages except the last one, in one process, since starting each takes seconds.
STAGES = """
from pathlib import Path
from pipeline import evaluate, prepare, train
from pipeline.sections.load import load_params
from search.paths import Paths
from search.stage import run

params = load_params(Path("params.yaml"))
prepare.run(params)
run(params, Paths())
train.run(params)
evaluate.run(params)
"""


def apply(block: str, root: Path) -> None:
    """Edit the file named on the block's first line: replace the lines that start with `-` by those with `+`."""
    name, _, changes = block.partition("\n")
    text = (root / name).read_text()
    for old, new in re.findall(r"((?:^-.*\n)+)((?:^\+.*\n)+)", changes + "\n", re.MULTILINE):
        before, after = (re.sub(r"^.", "", lines, flags=re.MULTILINE) for lines in (old, new))
        assert text.count(f"\n{before}") == 1, f"{name}: {before!r} must occur once"
        text = text.replace(f"\n{before}", f"\n{after}")
    (root / name).write_text(text)


@pytest.mark.slow
def test_a_source_an_activation_and_a_metric_are_added_as_the_page_says(tmp_path: Path) -> None:
    made = clone(tmp_path / "copy")
    for language, block in blocks((ROOT / "docs/extending.md").read_text(encoding="utf-8")):
        if language == "python":
            path, _, code = block.removeprefix("# ").partition("\n")
            (made.root / path).write_text(code)
        else:
            apply(block, made.root)
    made.edit_params({
        **SMALL,
        "source: digits ": "source: stripes ",
        "  limit: 400 ": "  limit: 300 ",
        "  trials: 3 ": "  trials: 1 ",
        "  - filters: 16\n    convs": "  - filters: 16\n    activation: softplus\n    convs",
        "gate: [accuracy >= 0.2] ": "gate: [kappa >= 0.1] ",
    })  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", STAGES], cwd=made.root, env=made.environment(PYTHONPATH=str(made.root)),
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    metrics = json.loads((made.root / "reports/evaluate/details.json").read_text())
    assert metrics["kappa_low"] <= metrics["kappa"] <= metrics["kappa_high"] <= 1.0
    page = (made.root / "logs/evaluate/report.html").read_text()
    assert "Cohen&#39;s kappa" in page
    assert "kappa &gt;= 0.1" in page
    assert "softplus" in (made.root / "models/model.yaml").read_text()
