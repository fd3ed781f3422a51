"""Render Jinja2 templates with autoescaping."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup


def render(template: Path, **values: Any) -> Markup:
    """Render a template.

    Args:
        template: File of the template.
        values: Variables of the template; text is escaped, Markup is not.
    """
    page = _environment(template.parent).get_template(template.name).render(values)
    return Markup(page)  # noqa: S704  # Jinja escapes text


@cache
def _environment(folder: Path) -> Environment:
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
