"""What a reviewer sees after `fovea ui`, in a browser that has never opened MLflow."""

import csv
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.conftest import Clone
from tests.ports import free_port

pytestmark = pytest.mark.slow

PATIENCE = 60_000  # milliseconds that a page may take
# MLflow's status of a run, by the state of a trained trial in trials.csv.
STATUS = {"complete": "Finished", "pruned": "Finished", "failed": "Failed"}


@pytest.fixture(scope="module")
def address(finished_clones: tuple[Clone, Clone]) -> Iterator[str]:
    """The address that the UI prints; it is served while the tests of this module run."""
    made = finished_clones[0]
    port = free_port()
    command = [sys.executable, "-m", "pipeline.cli", "ui", "--port", str(port), "--no-open"]
    with subprocess.Popen(command, cwd=made.root, env=made.environment(), text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout
        printed = process.stdout.readline().strip()
        try:
            assert printed.startswith(f"http://127.0.0.1:{port}/#/experiments/"), f"printed {printed!r}"
            yield printed
        finally:
            process.terminate()
            process.communicate()
    assert process.returncode == 0


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A fresh browser at the printed address, with the assistant closed that MLflow opens at first."""
    with browser.new_context(viewport={"width": 3200, "height": 1000}) as context:
        context.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        opened = context.new_page()
        opened.goto(address)
        opened.locator("[data-component-id='mlflow.assistant.chat_panel.close'], button[aria-label='Close']").click()
        yield opened


def test_the_printed_address_shows_all_runs_best_first(page: Page, finished_clones: tuple[Clone, Clone]) -> None:
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    expect(_run(page, re.compile(r"^trial 0 \(baseline\): .*conv"))).to_be_visible()
    for name in ("winner", "baseline"):
        expect(_run(page, re.compile(f"^train {name}"))).to_be_visible()
    expect(page.get_by_text(f"{len(_trials(finished_clones)) + 3} matching runs")).to_be_visible()
    for column in ("Duration", "val/accuracy", "best/val_accuracy", "test/accuracy", "test/macro_f1", "cost/params"):
        expect(page.get_by_role("columnheader").get_by_text(column, exact=True)).to_be_visible()
    for column in ("training.learning_rate", "alias", "fovea.kind", "reason"):
        expect(page.get_by_role("columnheader").get_by_text(column, exact=True)).to_be_visible()
    names = page.get_by_role("columnheader", name="Run Name").first.bounding_box()
    assert names is not None
    assert names["width"] > 300  # wide enough for the names of runs
    shown = [float(text) for text in _column(page, "metrics.`best/val_accuracy`")]
    assert len(shown) == len(_trials(finished_clones)) + 3
    assert shown == sorted(shown, reverse=True)


def test_the_menu_of_views_leads_to_studies_with_their_trials(page: Page, finished_clones: tuple[Clone, Clone]) -> None:
    trials = _trials(finished_clones)
    page.get_by_role("button", name="Best first").click()
    page.get_by_text("Studies with their trials").click()
    expect(_run(page, re.compile("^study of digits"))).to_be_visible()
    expect(_run(page, re.compile("^trial "))).to_have_count(0)
    page.locator(".ag-row", has=page.get_by_text(re.compile("^study of digits"))).get_by_role("button").click()
    expect(_run(page, re.compile("^trial "))).to_have_count(len(trials))


def test_a_study_names_its_best_trial_and_links_to_each(page: Page, finished_clones: tuple[Clone, Clone]) -> None:
    _run(page, re.compile("^study of digits")).click()
    expect(page.get_by_text("Search for CNN architectures on digits")).to_be_visible()
    expect(page.get_by_text("best/val_accuracy", exact=True).first).to_be_visible()
    for number, trial in list(_trials(finished_clones).items())[-10:]:  # the page lists the newest ten
        page.get_by_role("link", name=re.compile(rf"^trial {number}\b")).click()
        expect(page.get_by_role("heading", name=re.compile(rf"^trial {number}\b"))).to_be_visible()
        expect(page.get_by_text(STATUS[trial["state"]], exact=True)).to_be_visible()
        if trial["reason"]:
            expect(page.get_by_text(trial["reason"]).first).to_be_visible()
        page.get_by_role("link", name=re.compile("^study of digits")).first.click()


def test_a_training_shows_its_settings_and_test_metrics(page: Page) -> None:
    _open_training(page)
    expect(page.get_by_text(re.compile("^Training of the architecture of trial"))).to_be_visible()
    for name in ("training.learning_rate", "training.epochs", "seed", "test/accuracy", "test/macro_f1", "cost/macs"):
        expect(page.get_by_text(name, exact=True).first).to_be_visible()
    expect(page.get_by_text(re.compile("digits \\([0-9a-f]+\\)"))).to_be_visible()


def test_a_training_shows_its_curves(page: Page) -> None:
    _open_training(page)
    page.get_by_role("tab", name="Model metrics").click()
    page.get_by_placeholder("Search metric charts").fill("^(train|val)/(accuracy|loss)$")
    for name in ("accuracy", "loss"):  # one in the section `train`, one in `val`
        expect(page.get_by_role("heading", name=name, exact=True)).to_have_count(2)
    drawn = (
        "document.querySelectorAll('.js-plotly-plot').length >= 4 && [...document.querySelectorAll('.js-plotly-plot')]"
    )
    page.wait_for_function(f"{drawn}.every(chart => chart.querySelector('.scatterlayer .trace'))")


def test_a_training_shows_its_pictures(page: Page) -> None:
    _open_training(page)
    page.get_by_role("tab", name="Artifacts").click()
    pictures = {"train": ("curves.png",), "evaluate": ("confusion.png", "calibration.png", "mistakes.png")}
    for folder, names in pictures.items():
        page.get_by_text(folder, exact=True).click()
        for picture in names:
            page.get_by_text(picture, exact=True).click()
            expect(page.get_by_text(f"{folder}/{picture}", exact=True)).to_be_visible()
            shown = page.get_by_role("img", name=f"{folder}/{picture}")
            expect(shown).to_be_visible()
            assert shown.evaluate("picture => picture.naturalWidth") > 200


def test_the_registry_shows_the_champion(page: Page) -> None:
    page.get_by_role("link", name="Model registry").click()
    page.get_by_role("button", name="Close").last.click()  # MLflow's advertisement
    expect(page.get_by_text("@ champion")).to_be_visible()
    page.get_by_role("link", name="fovea", exact=True).last.click()
    expect(page.get_by_text("@ champion")).to_be_visible()
    page.get_by_role("link", name="Version 1").click()
    expect(page.get_by_text("@ champion")).to_be_visible()
    expect(page.get_by_text(re.compile("^Test accuracy"))).to_be_visible()
    expect(page.get_by_text("block1_conv1")).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("^train winner"))).to_be_visible()


def _trials(clones: tuple[Clone, Clone]) -> dict[str, dict[str, str]]:
    """The trained trials by number; only these have runs."""
    with Path(clones[0].root, "reports/search/trials.csv").open(encoding="utf-8", newline="") as file:
        return {row["number"]: row for row in csv.DictReader(file) if row["state"] in STATUS}


def _run(page: Page, name: str | re.Pattern[str]) -> Locator:
    """The link to a run in the table of runs."""
    return page.get_by_role("gridcell").get_by_role("link", name=name)


def _open_training(page: Page) -> None:
    _run(page, re.compile("^train winner")).click()
    expect(page.get_by_role("heading", name=re.compile("^train winner"))).to_be_visible()


def _column(page: Page, name: str) -> list[str]:
    """The cells of a column of the table, from top to bottom."""
    cells: list[list[str]] = page.evaluate(
        """name => [...document.querySelectorAll(`.ag-row [col-id="${name}"]`)]
            .map(cell => [cell.closest('.ag-row').getAttribute('row-index'), cell.innerText.trim()])""",
        name,
    )
    return [text for _, text in sorted(cells, key=lambda cell: int(cell[0]))]
