"""The page about a prepared dataset, opened from its file in a browser."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.pages import SIZES, Scheme, open_page, require_good_page
from tests.conftest import Clone

pytestmark = pytest.mark.slow

SECTIONS = ["findings", "classes", "samples", "duplicates", "distribution", "grid"]


@pytest.fixture(scope="module")
def page(finished_clones: tuple[Clone, Clone]) -> Path:
    return finished_clones[0].root / "reports/prepare/index.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_fits_the_screen_and_makes_no_requests(
    browser: Browser, page: Path, tmp_path: Path, scheme: Scheme, size: str
) -> None:
    require_good_page(browser, page, size, scheme, tmp_path / f"data-{size}-{scheme}.png")


def test_the_page_links_to_its_sections_and_describes_its_pictures(browser: Browser, page: Path) -> None:
    shown, _ = open_page(browser, page, "desktop", "light")
    assert [link.get_attribute("href") for link in shown.locator("nav a").all()] == [f"#{key}" for key in SECTIONS]
    assert shown.evaluate(
        "[...document.images].every(each => each.complete && each.naturalWidth > 50 && each.alt.length > 10)"
    )
    assert shown.get_by_role("row", name="class_imbalance").is_visible()
    shown.context.close()
