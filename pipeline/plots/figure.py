"""Write a figure to a file."""

import warnings
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.text import Text

DPI = 110


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG file. Equal figures produce identical bytes.

    Text is shown literally, with boxes for glyphs that the font lacks.
    """
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a class may be called $x$
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(path, dpi=DPI, metadata={"Software": None})
