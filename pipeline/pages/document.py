"""A report as one HTML file: heading, verdict, sections, and links to them."""

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from pipeline.pages.style import SCRIPT, STYLE


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
    content: str


def document(title: str, verdict: str, sections: Sequence[Section], footer: str) -> str:
    """The page; it asks nothing of any address, and its Content-Security-Policy sees to that.

    Args:
        title: what it is about, as text.
        verdict: the whole of it in a sentence or two, as text.
        sections: in order.
        footer: HTML.
    """
    links = "".join(f'<li><a href="#{each.key}">{escape(each.title)}</a></li>' for each in sections)
    body = "\n".join(
        f'<section aria-labelledby="{each.key}"><h2 id="{each.key}">{escape(each.title)}</h2>\n{each.content}</section>'
        for each in sections
    )
    trusted = b64encode(hashlib.sha256(SCRIPT.encode("utf-8")).digest()).decode("ascii")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; \
script-src 'sha256-{trusted}'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p class="verdict">{escape(verdict)}</p>
<nav aria-label="Sections"><ul>{links}</ul></nav>
</header>
<main>
{body}
</main>
<footer>{footer}</footer>
<script>{SCRIPT}</script>
</body>
</html>
"""


def framed(picture: str, name: str, caption: str, more: str = "") -> str:
    """A picture in a box of its own, in which it scrolls if it is wider than the page.

    Args:
        picture: SVG or img element.
        name: of the picture, as text.
        caption: as text.
        more: HTML behind the caption.
    """
    return (
        f'<figure><div class="scroll" role="region" tabindex="0" aria-label="{escape(name)}">{picture}</div>\n'
        f"<figcaption>{escape(caption)}{more}</figcaption></figure>\n"
    )
