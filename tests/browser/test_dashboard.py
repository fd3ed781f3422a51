"""The dashboard of a study that `fovea dashboard` serves."""

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.conftest import Clone
from tests.ports import free_port

pytestmark = pytest.mark.slow

PATIENCE = 60_000  # milliseconds that a page may take


@pytest.fixture(scope="module")
def address(finished_clones: tuple[Clone, Clone]) -> Iterator[str]:
    """The address at which the dashboard is served while the tests of this module run."""
    made = finished_clones[0]
    port = free_port()
    command = [sys.executable, "-m", "pipeline.cli", "dashboard", "--port", str(port)]
    with subprocess.Popen(command, cwd=made.root, env=made.environment(), text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout
        printed = process.stdout.readline()
        try:
            assert f"http://127.0.0.1:{port}" in printed, f"printed {printed!r}"
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.communicate()


def test_the_dashboard_shows_the_study_and_its_plots(browser: Browser, address: str) -> None:
    with browser.new_context(viewport={"width": 1400, "height": 900}) as context:
        context.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        page = context.new_page()
        page.goto(address)
        page.get_by_text(re.compile("study-[0-9a-f]{16}-[0-9]+$")).click()
        expect(page.get_by_text("val_accuracy", exact=True).first).to_be_visible()  # the objective is shown by name
        expect(page.get_by_text(re.compile(r"Best Trial \(number=\d+\)"))).to_be_visible()
        expect(page.locator("#plot-history .points path").first).to_be_visible()
        expect(page.get_by_text("Hyperparameter Importance").first).to_be_visible()
