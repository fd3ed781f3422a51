"""Many small images on one picture: drawn pixel by pixel, where a grid of plots would take ten times as long."""

from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from pipeline.plots.colours import BLUE, RED
from pipeline.plots.figure import DPI

_GAP, _LINE, _MARGIN = 8, 15, 6  # pixels between tiles, of a line of text, around all
_POINTS = 8  # size of the text
_TEXT = "#747c86"  # to be read on light paper and on dark


class Mosaic:
    """Rows and columns of square tiles, each with a title above it.

    Args:
        rows: how many.
        columns: how many.
        side: of a tile, in pixels.
        lines: of each title.
        heading: above all; empty: none.
    """

    def __init__(self, rows: int, columns: int, side: int, lines: int = 1, heading: str = "") -> None:
        self._side, self._above = side, lines * _LINE + 2
        self._top = _MARGIN + (_LINE + _GAP if heading else 0)
        height = self._top + rows * (self._above + side + _GAP) + _MARGIN
        width = columns * (side + _GAP) - _GAP + 2 * _MARGIN
        self._paper = np.zeros((height, width, 4), np.uint8)  # transparent: the page is light or dark
        self._figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="none")
        if heading:
            self._write(heading, _MARGIN, self._top - _GAP, "left", _POINTS + 2)

    def image(
        self, row: int, column: int, image: NDArray[Any], low: float, high: float, title: str = "",
        align: Literal["center", "left"] = "center",
    ) -> None:  # fmt: skip
        """Draw an image, (*grid, channels); a series as a line, of a volume the middle slice; of other than 1 or 3
        channels their mean.

        Args:
            row: of the tile.
            column: of the tile.
            image: raw values.
            low: what is black.
            high: what is white.
            title: of the tile.
            align: of the title.
        """
        self._title(row, column, title, align)
        scaled = (np.asarray(image, float) - low) / max(high - low, 1e-12)
        if scaled.ndim == 2:
            self._lines(row, column, scaled)
            return
        if scaled.ndim == 4:
            scaled = scaled[len(scaled) // 2]
        shown = scaled if scaled.shape[-1] == 3 else scaled.mean(axis=-1, keepdims=True)
        self._paste(row, column, np.broadcast_to(shown.clip(0, 1), (*shown.shape[:2], 3)))

    def heat(self, row: int, column: int, values: NDArray[Any], title: str = "", symmetric: bool = False) -> None:
        """Draw a map (*grid,) of one value for each position, on a scale of its own; of a volume the middle slice.

        Args:
            row: of the tile.
            column: of the tile.
            values: to be drawn.
            title: of the tile.
            symmetric: whether 0 is in the middle of the scale, which is blue below and red above.
        """
        self._title(row, column, title, "center")
        low, high = float(np.min(values)), float(np.max(values))
        if symmetric:
            high = max(abs(low), abs(high), 1e-9)
            low = -high
        scaled = (np.asarray(values, float) - low) / max(high - low, 1e-12)
        if scaled.ndim == 1:
            self._lines(row, column, scaled[:, None])
            return
        if scaled.ndim == 3:
            scaled = scaled[len(scaled) // 2]
        self._paste(row, column, matplotlib.colormaps["RdBu_r" if symmetric else "viridis"](scaled)[..., :3])

    def frame(self, row: int, column: int, corner: tuple[float, float], extent: tuple[float, float], side: int) -> None:
        """Draw a frame over a tile, in the positions of its image.

        Args:
            row: of the tile.
            column: of the tile.
            corner: left and upper edge.
            extent: width and height.
            side: the longer side of the image.
        """
        left, top = self._corner(row, column)
        scale, paper = self._side / side, len(self._paper)
        x, y = left + corner[0] * scale, paper - top - (corner[1] + extent[1]) * scale
        frame = Rectangle((x, y), extent[0] * scale, extent[1] * scale, fill=False, edgecolor=RED, linewidth=1.6)
        frame.set_transform(matplotlib.transforms.IdentityTransform())
        self._figure.add_artist(frame)

    def figure(self) -> Figure:
        """The picture."""
        self._figure.figimage(self._paper[::-1], origin="lower", zorder=-1)
        return self._figure

    def _corner(self, row: int, column: int) -> tuple[int, int]:
        """Left and upper edge of a tile, in pixels from the upper left corner of all."""
        down = self._top + row * (self._above + self._side + _GAP) + self._above
        return _MARGIN + column * (self._side + _GAP), down

    def _paste(self, row: int, column: int, colours: NDArray[np.float64]) -> None:
        height, width = colours.shape[:2]
        scale = self._side / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        tile = Image.fromarray(np.round(colours * 255).astype(np.uint8))
        resized = tile.resize(size, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX)
        left, top = self._corner(row, column)
        self._paper[top : top + size[1], left : left + size[0], :3] = np.asarray(resized)
        self._paper[top : top + size[1], left : left + size[0], 3] = 255

    def _lines(self, row: int, column: int, scaled: NDArray[np.float64]) -> None:
        left, top = self._corner(row, column)
        across = left + np.linspace(0, self._side, len(scaled))
        for channel in scaled.T:
            up = len(self._paper) - top - self._side + channel * self._side
            line = Line2D(across, up, color=BLUE, linewidth=0.8, transform=matplotlib.transforms.IdentityTransform())
            self._figure.add_artist(line)

    def _title(self, row: int, column: int, title: str, align: str) -> None:
        if title:
            left, top = self._corner(row, column)
            self._write(title, left + (self._side // 2 if align == "center" else 0), top - 3, align, _POINTS)

    def _write(self, text: str, x: float, y: float, align: Any, points: float) -> None:
        height, width = self._paper.shape[:2]
        self._figure.text(
            x / width, 1 - y / height, text, ha=align, va="bottom", fontsize=points, linespacing=1.1, color=_TEXT
        )
