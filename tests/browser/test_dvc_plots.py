"""DVC's page of plots, rendered with this project's template and opened offline."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.pages import open_page
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

PLOTS = """
plots:
  - Loss: {x: epoch, y_label: loss, y: {history.csv: [loss, val_loss]}}
  - Confusion: {template: confusion_normalized, x: actual, y: {confusion.csv: predicted}}
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """The page of `dvc plots diff` between two commits of a small project."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "1",
    }

    def run(*command: str) -> None:
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)

    def commit(name: str) -> None:
        run("git", "add", "-A")
        run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", name)

    run("git", "init", "-q")
    run("dvc", "init", "-q")
    shutil.copy(ROOT / ".dvc/config", tmp_path / ".dvc/config")
    shutil.copytree(ROOT / ".dvc/plots", tmp_path / ".dvc/plots")
    (tmp_path / "dvc.yaml").write_text(PLOTS)
    for factor in (1.0, 0.5):
        rows = [f"{epoch},{factor / epoch},{factor / epoch + 0.1}" for epoch in range(1, 6)]
        (tmp_path / "history.csv").write_text("\n".join(["epoch,loss,val_loss", *rows]) + "\n")
        (tmp_path / "confusion.csv").write_text("actual,predicted\n0,0\n0,1\n1,1\n")
        commit(f"factor {factor}")
    run("dvc", "plots", "diff", "HEAD~1", "--out", "shown")
    return tmp_path / "shown/index.html"


def test_the_charts_are_drawn_without_a_network(browser: Browser, page: Path) -> None:
    shown, problems = open_page(browser, page, "desktop", "light")
    shown.wait_for_function("document.querySelectorAll('.vega-embed canvas').length === 2")
    drawn = shown.evaluate(
        """[...document.querySelectorAll("canvas")].map(each =>
            new Set(each.getContext("2d").getImageData(0, 0, each.width, each.height).data).size)"""
    )
    assert min(drawn) > 20  # distinct colour values: more than an empty chart has
    assert [line for line in problems if not line.startswith("console: ")] == []
    shown.context.close()
