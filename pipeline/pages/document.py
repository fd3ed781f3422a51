"""Build a report as one HTML file: heading, verdict, navigation, and sections."""

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from pipeline.pages.templates import render

_TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class Section:
    """A section of a page.

    Attributes:
        key: HTML id of the heading, a single word.
        title: Heading.
        content: Content as HTML.
    """

    key: str
    title: str
    content: Markup


def document(title: str, verdict: str, sections: Sequence[Section], footer: str) -> str:
    """Render a page. It loads nothing from other addresses, which its Content-Security-Policy enforces.

    Args:
        title: Title of the page.
        verdict: Summary, a few sentences.
        sections: Sections in order.
        footer: Footer as text or HTML.
    """
    style, script = (
        Markup((_TEMPLATES / name).read_text(encoding="utf-8"))  # noqa: S704  # files of this package
        for name in ("page.css", "page.js")
    )
    script_digest = b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return render(
        _TEMPLATES / "document.html",
        title=title, verdict=verdict, sections=sections, footer=footer, style=style, script=script,
        script_digest=script_digest,
    )  # fmt: skip


def framed(picture: Markup, name: str, caption: str, more: str = "") -> Markup:
    """Render a figure with its caption. A picture that is wider than the page scrolls in its own box.

    Args:
        picture: SVG or img element.
        name: Name of the picture, for screen readers.
        caption: Caption as text or HTML.
        more: Text or HTML after the caption.
    """
    return render(_TEMPLATES / "figure.html", picture=picture, name=name, caption=caption, more=more)
