"""Embed a figure in a page, in the colours of the page's theme."""

import io
import re
import warnings
from base64 import b64encode
from pathlib import Path

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from pipeline.plots.colours import ON_PAGE

# A longer SVG is replaced by the PNG, so that browsers can open a page about thousands of trials.
MAX_CHARACTERS = 1_000_000
_PIXELS_PER_INCH = 96
_WIDE = 640  # pixels; wider figures keep their size on a phone, and scroll


def picture(figure: Figure, png: Path, name: str, description: str) -> Markup:
    """Convert a figure to inline SVG, or to an embedded PNG if the SVG is too long.

    Equal figures produce identical text.

    Args:
        figure: The figure.
        png: PNG file that the figure was written to.
        name: Name of the figure; prefix of the ids in the SVG, which must be unique on the page.
        description: Description for screen readers.
    """
    width = round(figure.get_figwidth() * _PIXELS_PER_INCH)
    figure.set_layout_engine("none")  # the layout, which is slow, was computed for the PNG
    drawn = _svg(figure)
    if len(drawn) > MAX_CHARACTERS:
        data = b64encode(png.read_bytes()).decode("ascii")
        return Markup('<img src="data:image/png;base64,{}" alt="{}" width="{}">').format(data, description, width)
    view_box = re.search(r'viewBox="([^"]*)"', drawn)
    body = re.search(r"</metadata>(.*)</svg>", drawn, re.DOTALL)
    if view_box is None or body is None:
        raise ValueError(f"matplotlib's SVG of {name} has no viewBox or no metadata")
    inside = re.sub(r"<style.*?</style>", "", body[1], flags=re.DOTALL)
    for color, variable in ON_PAGE.items():
        inside = inside.replace(f": {color}", f": {variable}")
    used = set(re.findall(r'(?:xlink:href="|url\()#([^")]+)', inside))
    inside = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", inside)
    inside = inside.replace(' id="', f' id="{name}-').replace("url(#", f"url(#{name}-")
    inside = inside.replace('xlink:href="#', f'href="#{name}-')
    return Markup(
        '<svg class="plot{}" style="--wide: {}px" viewBox="{}" width="{}" role="img" aria-label="{}"><title>{}</title>'
        "<desc>{}</desc>{}</svg>"
    ).format(
        " wide" * (width > _WIDE), width, view_box[1], width, description, name.replace("_", " "), description,
        Markup(inside),  # noqa: S704  # drawn by matplotlib, which escapes text
    )  # fmt: skip


def _svg(figure: Figure) -> str:
    """Render a figure as SVG with Matplotlib, with text as text elements and without a date."""
    stream = io.BytesIO()
    with warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": "fovea", "svg.fonttype": "none"}):
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    return stream.getvalue().decode("utf-8")
