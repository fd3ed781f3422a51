"""The page of an evaluation, opened from its file in a browser."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.pages import SIZES, Scheme, open_page, require_fit, require_good_page
from tests.conftest import Clone

pytestmark = pytest.mark.slow

SECTIONS = ["quality", "comparison", "robustness", "ood", "pixel_permutation", "interpretation", "cost"]


@pytest.fixture(scope="module")
def page(finished_clones: tuple[Clone, Clone]) -> Path:
    return finished_clones[0].root / "reports/evaluate/report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_fits_the_screen_and_makes_no_requests(
    browser: Browser, page: Path, tmp_path: Path, scheme: Scheme, size: str
) -> None:
    require_good_page(browser, page, size, scheme, tmp_path / f"evaluation-{size}-{scheme}.png")


def test_the_page_starts_with_the_verdict_and_links_to_the_sections(browser: Browser, page: Path) -> None:
    shown, _ = open_page(browser, page, "desktop", "light")
    assert shown.locator("h1 + p").text_content().startswith("Test accuracy ")  # type: ignore[union-attr]
    assert [link.get_attribute("href") for link in shown.locator("nav a").all()] == [f"#{key}" for key in SECTIONS]
    shown.keyboard.press("Tab")
    shown.keyboard.press("Enter")
    assert shown.url.endswith("#quality")
    shown.context.close()


def test_the_page_in_the_logs_shows_the_gate_and_identifies_the_network(
    browser: Browser, page: Path, finished_clones: tuple[Clone, Clone]
) -> None:
    logged_page = page.parents[2] / "logs/evaluate/report.html"
    shown, problems = open_page(browser, logged_page, "phone", "dark")
    require_fit(shown, "phone", "dark")
    verdict = "The network would become champion: there is no current champion. Test accuracy "
    assert shown.locator("h1 + p").text_content().startswith(verdict)  # type: ignore[union-attr]
    keys = [link.get_attribute("href") for link in shown.locator("nav a").all()]
    assert keys == [f"#{key}" for key in ("promotion", *SECTIONS, "speed")]
    shown.get_by_role("link", name="Gate").click()
    assert shown.get_by_role("row", name="accuracy >= 0.2").get_by_role("cell").last.text_content() == "yes"
    commit = finished_clones[0].run("git", "rev-parse", "HEAD").stdout[:12]
    identity = shown.locator("footer").text_content()
    assert identity is not None
    study = r"study study-[0-9a-f]+-3, trial \d"
    assert re.search(rf"Model [0-9a-f]+; {study}; commit {commit} with changes; evaluated \d{{4}}-\d\d", identity)
    assert problems == []
    shown.context.close()


def test_pictures_are_drawn_and_described(browser: Browser, page: Path) -> None:
    shown, _ = open_page(browser, page, "desktop", "light")
    assert shown.locator("figure").count() > 12
    assert shown.evaluate(
        "[...document.images].every(each => each.complete && each.naturalWidth > 50 && each.alt.length > 10)"
    )
    assert shown.evaluate(
        """[...document.querySelectorAll("svg")].every(each =>
            each.getAttribute("role") === "img" && (each.getAttribute("aria-label") || each.querySelector("title"))
            && each.getBoundingClientRect().height > 40)"""
    )
    shown.context.close()


def test_a_wide_picture_scrolls_with_the_keyboard_on_a_phone(browser: Browser, page: Path) -> None:
    shown, _ = open_page(browser, page, "phone", "light")
    wide = shown.evaluate_handle(
        "[...document.querySelectorAll('.scroll')].find(each => each.scrollWidth > each.clientWidth + 40)"
    ).as_element()
    assert wide is not None
    wide.focus()
    shown.keyboard.press("ArrowRight")
    shown.wait_for_function("box => box.scrollLeft > 0", arg=wide)
    shown.context.close()
