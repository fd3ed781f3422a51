"""Report pages in a browser, and the problems that they report."""

import re
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page

PATIENCE = 30_000  # milliseconds that a page may take
SIZES = {"desktop": (1280, 900), "phone": (380, 800)}
Scheme = Literal["dark", "light"]


def open_page(browser: Browser, path: Path, size: str, scheme: Scheme) -> tuple[Page, list[str]]:
    """Open a page; return it, and a list to which its errors and its requests for other files are added."""
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    context.set_default_timeout(PATIENCE)
    shown, problems = context.new_page(), list[str]()
    shown.on("console", lambda message: problems.append(f"console: {message.text}"))
    shown.on("pageerror", lambda error: problems.append(f"error: {error}"))
    shown.on("requestfailed", lambda request: problems.append(f"failed: {request.url[:80]}"))
    shown.on(
        "request",
        lambda request: (
            None
            if request.url == path.as_uri() or request.url.startswith("data:")
            else problems.append(request.url[:80])
        ),
    )
    shown.goto(path.as_uri())
    return shown, problems


def require_fit(shown: Page, size: str, scheme: Scheme) -> None:
    """Require that nothing is wider than the screen, and that the background has the colour of the scheme."""
    scrolled, visible = shown.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert scrolled <= visible == SIZES[size][0]
    background = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")


COLLISIONS = """() => [...document.querySelectorAll("svg.plot, svg.card")].flatMap(picture => {
    const texts = [...picture.querySelectorAll("text")].filter(text => text.textContent.trim());
    const boxes = texts.map(text => text.getBoundingClientRect());
    return texts.flatMap((text, second) => texts.slice(0, second).filter((_, first) => {
        const [a, b] = [boxes[first], boxes[second]];
        return Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
            && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
    }).map(other => `${other.textContent} / ${text.textContent}`));
})"""
FILLS = "[...new Set([...document.querySelectorAll('svg.plot text')].map(text => getComputedStyle(text).fill))]"


def require_readable_pictures(shown: Page, scheme: Scheme) -> None:
    """Require that no labels of a picture overlap, and that they are dark on light or light on dark."""
    assert shown.evaluate(COLLISIONS) == []
    fills = shown.evaluate(FILLS)
    assert fills
    for fill in fills:
        levels = [int(level) for level in re.findall(r"\d+", fill)[:3]]
        assert (min(levels) > 150) if scheme == "dark" else (max(levels) < 110), fill


def require_good_page(browser: Browser, path: Path, size: str, scheme: Scheme, screenshot: Path) -> None:
    """Check that a page fits the screen, that its pictures are readable, and that it makes no requests."""
    shown, problems = open_page(browser, path, size, scheme)
    shown.screenshot(path=screenshot, full_page=True)
    require_fit(shown, size, scheme)
    require_readable_pictures(shown, scheme)
    assert problems == []
    shown.context.close()
