"""Render a section of the page from a template."""

from pathlib import Path
from typing import Any

from pipeline.pages.document import Section
from pipeline.pages.templates import render

_TEMPLATES = Path(__file__).with_name("templates")


def section(key: str, title: str, template: str, **values: Any) -> Section:
    """Render a section from a template in `templates/`.

    Args:
        key: Anchor of the section, a word.
        title: Heading of the section.
        template: Name of the template, without its suffix.
        values: Variables of the template.
    """
    return Section(key, title, render(_TEMPLATES / f"{template}.html", **values))
