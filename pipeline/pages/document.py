"""A report as one HTML file: heading, verdict, sections, and links to them."""

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
    """A part of a page.

    Attributes:
        key: its address on the page, a word.
        title: its heading.
        content: HTML.
    """

    key: str
    title: str
    content: Markup


def document(title: str, verdict: str, sections: Sequence[Section], footer: str) -> str:
    """The page; it asks nothing of any address, and its Content-Security-Policy sees to that.

    Args:
        title: what it is about.
        verdict: the whole of it in a sentence or two.
        sections: in order.
        footer: text or HTML.
    """
    style, script = (Markup((_TEMPLATES / name).read_text(encoding="utf-8")) for name in ("page.css", "page.js"))
    script_digest = b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return render(
        _TEMPLATES / "document.html",
        title=title, verdict=verdict, sections=sections, footer=footer, style=style, script=script,
        script_digest=script_digest,
    )  # fmt: skip


def framed(picture: Markup, name: str, caption: str, more: str = "") -> Markup:
    """A picture in a box of its own, in which it scrolls if it is wider than the page.

    Args:
        picture: SVG or img element.
        name: of the picture.
        caption: of the picture.
        more: text or HTML after the caption.
    """
    return render(_TEMPLATES / "figure.html", picture=picture, name=name, caption=caption, more=more)
