"""A page of a report in a browser, and what it complains of."""

from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page

PATIENCE = 30_000  # milliseconds that a page may take
SIZES = {"desktop": (1280, 900), "phone": (380, 800)}
Scheme = Literal["dark", "light"]


def opened(browser: Browser, path: Path, size: str, scheme: Scheme) -> tuple[Page, list[str]]:
    """A page, and a list to which is added what it complains of or asks for from elsewhere."""
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    context.set_default_timeout(PATIENCE)
    shown, complaints = context.new_page(), list[str]()
    shown.on("console", lambda message: complaints.append(f"console: {message.text}"))
    shown.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    shown.on("requestfailed", lambda request: complaints.append(f"failed: {request.url[:80]}"))
    shown.on(
        "request",
        lambda request: (
            None
            if request.url == path.as_uri() or request.url.startswith("data:")
            else complaints.append(request.url[:80])
        ),
    )
    shown.goto(path.as_uri())
    return shown, complaints


def require_fit(shown: Page, size: str, scheme: Scheme) -> None:
    """Nothing is wider than the screen, and the paper has the colour that was asked for."""
    scrolled, visible = shown.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert scrolled <= visible == SIZES[size][0]
    paper = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
