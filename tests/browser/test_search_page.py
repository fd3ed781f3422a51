"""The page of a study, opened from its file in a browser."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.pages import SIZES, Scheme, open_page, require_fit, require_readable_pictures
from tests.search.harness import StudyHarness
from tests.search.report.test_write import BUDGET, SPACE, report, study_with_all_states

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages of a study with trials in every state, and of one with two objectives."""
    root = tmp_path_factory.mktemp("studies")
    (root / "study_with_all_states").mkdir()
    (root / "front").mkdir()
    report(study_with_all_states(root / "study_with_all_states"), root / "study_with_all_states/search")
    space = SPACE | {"learning_rate": {"low": 0.001, "high": 0.1, "log": True}}
    objectives = ("val_accuracy", "params")
    several = StudyHarness(
        root / "front", trials=12, space=space, budget=BUDGET, objectives=objectives, choose="cheapest"
    )
    report(several, root / "front/search")
    return {name: root / name / "search/index.html" for name in ("study_with_all_states", "front")}


@pytest.mark.parametrize("study", ["study_with_all_states", "front"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_fits_the_screen_and_makes_no_requests(
    browser: Browser,
    pages: dict[str, Path],
    tmp_path: Path,
    study: str,
    scheme: Scheme,
    size: str,
) -> None:
    shown, problems = open_page(browser, pages[study], size, scheme)
    shown.screenshot(path=tmp_path / f"{study}-{size}-{scheme}.png", full_page=True)
    require_fit(shown, size, scheme)
    require_readable_pictures(shown, scheme)
    assert shown.evaluate(
        "[...document.querySelectorAll('svg')].every(each => each.getBoundingClientRect().height > 40)"
    )
    assert problems == []
    shown.context.close()


@pytest.mark.parametrize("size", SIZES)
def test_all_text_of_the_diagram_is_inside_it(browser: Browser, pages: dict[str, Path], size: str) -> None:
    shown, _ = open_page(browser, pages["study_with_all_states"], size, "light")
    outside = shown.evaluate(
        """[...document.querySelectorAll("svg.card")].flatMap(card => {
            const frame = card.getBoundingClientRect();
            return [...card.querySelectorAll("text")].filter(text => {
                const box = text.getBoundingClientRect();
                return box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1;
            }).map(text => text.textContent);
        })"""
    )
    assert outside == []
    shown.context.close()


def test_trials_can_be_sorted_with_the_keyboard(browser: Browser, pages: dict[str, Path]) -> None:
    shown, problems = open_page(browser, pages["study_with_all_states"], "desktop", "light")
    table = shown.locator("section:last-of-type table.sortable")
    head = table.locator("th", has=shown.get_by_role("button", name="validation accuracy"))
    place = head.evaluate("head => head.cellIndex")

    def values() -> list[str]:
        cells: list[str] = table.evaluate(
            "(table, place) => [...table.tBodies[0].rows].map(row => row.cells[place].textContent)", place
        )
        return cells

    before = values()
    head.get_by_role("button").focus()
    for key, order, reverse in (("Enter", "descending", True), ("Space", "ascending", False)):
        shown.keyboard.press(key)
        assert head.get_attribute("aria-sort") == order
        found = [value for value in values() if value]
        assert found == sorted(found, key=float, reverse=reverse)
        assert values() == found + [""] * (len(before) - len(found))  # those without a value come last
    shown.keyboard.press("Shift+Tab")
    shown.keyboard.press("Shift+Tab")
    assert shown.evaluate("document.activeElement.textContent") == "trial"
    shown.keyboard.press("Enter")
    assert sorted(values()) == sorted(before)
    numbers = table.locator("tbody th").all_text_contents()
    assert [int(number.split()[0]) for number in numbers] == list(range(len(before)))
    assert problems == []
    shown.context.close()


@pytest.mark.parametrize("size", SIZES)
def test_the_table_of_trials_is_not_cut_off(browser: Browser, pages: dict[str, Path], size: str) -> None:
    shown, _ = open_page(browser, pages["study_with_all_states"], size, "light")
    box = shown.get_by_role("region", name="All trials, best first")
    assert box.evaluate("box => box.scrollWidth <= box.clientWidth")
    shown.context.close()


def test_a_table_that_is_wider_than_a_phone_scrolls_with_the_keyboard(browser: Browser, pages: dict[str, Path]) -> None:
    shown, _ = open_page(browser, pages["study_with_all_states"], "phone", "light")
    box = shown.get_by_role("region", name="Layers of the best architecture, with costs per image")
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")
    box.focus()
    shown.keyboard.press("ArrowRight")
    shown.wait_for_function("box => box.scrollLeft > 0", arg=box.element_handle())
    shown.context.close()
