"""Draw many small images in one figure, as a single bitmap: a grid of axes would take ten times as long."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon, Rectangle
from numpy.typing import NDArray
from PIL import Image

from pipeline.data.dataset import Kind
from pipeline.plots.colours import BLUE, CHANNEL_COLOURS, FAINT, GREY, RED
from pipeline.plots.figure import DPI
from pipeline.plots.pictures import as_picture

_GAP, _LINE, _MARGIN = 8, 15, 6  # pixels between tiles, per line of text, around the figure
_POINTS = 8  # font size
_TEXT = "#747c86"  # readable on light and on dark backgrounds


class Mosaic:
    """A grid of tiles, each with a title above it. They are square, or lower if all images are wider than high.

    Args:
        rows: Number of rows.
        columns: Number of columns.
        side: Width of a tile in pixels.
        lines: Number of lines of each title.
        heading: Heading of the figure; empty: no heading.
        kind: Kind of the samples; time in a spectrogram is drawn from left to right, with the lowest band at the
            bottom.
    """

    def __init__(
        self, rows: int, columns: int, side: int, lines: int = 1, heading: str = "", kind: Kind = "image"
    ) -> None:
        self._kind, self._rows, self._heading = kind, rows, heading
        self._side, self._above = side, lines * _LINE + 2
        self._top = _MARGIN + (_LINE + _GAP if heading else 0)
        self._width = columns * (side + _GAP) - _GAP + 2 * _MARGIN
        self._tall = 0  # height of the tallest tile
        self._waiting: list[Callable[[], None]] = []  # what is drawn when the height of all tiles is known

    def image(
        self, row: int, column: int, image: NDArray[Any], low: float, high: float, title: str = "",
        align: Literal["center", "left"] = "center",
    ) -> None:  # fmt: skip
        """Draw an image.

        A series is drawn as lines, a volume as its middle slice. If there are neither 1 nor 3 channels, their mean is
        drawn.

        Args:
            row: Row of the tile.
            column: Column of the tile.
            image: (*grid, channels) raw values.
            low: Raw value of black.
            high: Raw value of white.
            title: Title of the tile.
            align: Alignment of the title.
        """
        self._title(row, column, title, align)
        scaled = (np.asarray(image, float) - low) / max(high - low, 1e-12)
        if scaled.ndim == 2:
            self._lines(row, column, scaled)
            return
        scaled = self._picture(scaled, scaled.ndim - 1)
        shown = scaled if scaled.shape[-1] == 3 else scaled.mean(axis=-1, keepdims=True)
        self._paste(row, column, np.broadcast_to(shown.clip(0, 1), (*shown.shape[:2], 3)))

    def heat(
        self, row: int, column: int, values: NDArray[Any], title: str = "", symmetric: bool = False,
        under: NDArray[Any] | None = None,
    ) -> None:  # fmt: skip
        """Draw a heat map with its own colour scale. Of a volume, the middle slice is drawn; of a series, a curve.

        A symmetric map of a series is drawn as areas from a zero line, and its title gives the ends of the scale.

        Args:
            row: Row of the tile.
            column: Column of the tile.
            values: (*grid,) one value per position.
            title: Title of the tile.
            symmetric: Whether the scale is centred at 0, with blue for negative and red for positive values.
            under: (time, channels) series, scaled to its own range, over which the curve is drawn; other grids ignore
                it.
        """
        low, high = float(np.min(values)), float(np.max(values))
        if symmetric:
            high = max(abs(low), abs(high), 1e-9)
            low = -high
            title += f" ±{high:.2g}" if np.ndim(values) == 1 else ""
        self._title(row, column, title, "center")
        scaled = (np.asarray(values, float) - low) / max(high - low, 1e-12)
        if scaled.ndim == 1:
            if under is not None:
                given = np.asarray(under, float)
                self._lines(row, column, (given - given.min()) / max(np.ptp(given), 1e-12), [FAINT])
            if symmetric:
                self._tall = self._side
                self._waiting.append(partial(self._draw_areas, row, column, scaled))
                return
            self._lines(row, column, scaled[:, None], [BLUE if under is None else RED])
            return
        scaled = self._picture(scaled, scaled.ndim)
        self._paste(row, column, matplotlib.colormaps["RdBu_r" if symmetric else "viridis"](scaled)[..., :3])

    def frame(self, row: int, column: int, corner: tuple[float, float], extent: tuple[float, float], side: int) -> None:
        """Draw a frame over a tile, in the coordinates of its image.

        Args:
            row: Row of the tile.
            column: Column of the tile.
            corner: Left and upper edge of the frame.
            extent: Width and height of the frame.
            side: Longer side of the image.
        """
        self._waiting.append(partial(self._draw_frame, row, column, corner, extent, side))

    def figure(self) -> Figure:
        """Return the finished figure."""
        height = self._top + self._rows * (self._above + self._tall + _GAP) + _MARGIN
        self._paper = np.zeros((height, self._width, 4), np.uint8)  # transparent, for light and dark pages
        self._figure = Figure(figsize=(self._width / DPI, height / DPI), dpi=DPI, facecolor="none")
        if self._heading:
            self._write(self._heading, _MARGIN, self._top - _GAP, "left", _POINTS + 2)
        for draw in self._waiting:
            draw()
        self._figure.figimage(self._paper[::-1], origin="lower", zorder=-1)
        return self._figure

    def _draw_frame(
        self, row: int, column: int, corner: tuple[float, float], extent: tuple[float, float], side: int
    ) -> None:
        left, top = self._corner(row, column)
        scale, paper = self._side / side, len(self._paper)
        x, y = left + corner[0] * scale, paper - top - (corner[1] + extent[1]) * scale
        frame = Rectangle((x, y), extent[0] * scale, extent[1] * scale, fill=False, edgecolor=RED, linewidth=1.6)
        frame.set_transform(matplotlib.transforms.IdentityTransform())
        self._figure.add_artist(frame)

    def _corner(self, row: int, column: int) -> tuple[int, int]:
        """Left and upper edge of a tile, in pixels from the upper left corner of the figure."""
        down = self._top + row * (self._above + self._tall + _GAP) + self._above
        return _MARGIN + column * (self._side + _GAP), down

    def _paste(self, row: int, column: int, colours: NDArray[np.float64]) -> None:
        height, width = colours.shape[:2]
        scale = self._side / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        tile = Image.fromarray(np.round(colours * 255).astype(np.uint8))
        resized = tile.resize(size, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX)
        self._tall = max(self._tall, size[1])
        self._waiting.append(partial(self._place, row, column, np.asarray(resized)))

    def _place(self, row: int, column: int, tile: NDArray[np.uint8]) -> None:
        left, top = self._corner(row, column)
        height, width = tile.shape[:2]
        self._paper[top : top + height, left : left + width, :3] = tile
        self._paper[top : top + height, left : left + width, 3] = 255

    def _picture(self, values: NDArray[np.float64], rank: int) -> NDArray[np.float64]:
        """A picture of values on a grid of two or three axes."""
        return as_picture(values, "volume" if rank == 3 else self._kind)

    def _lines(
        self, row: int, column: int, scaled: NDArray[np.float64], colours: Sequence[str] = CHANNEL_COLOURS
    ) -> None:
        self._tall = self._side
        self._waiting.append(partial(self._draw_lines, row, column, scaled, colours))

    def _draw_lines(self, row: int, column: int, scaled: NDArray[np.float64], colours: Sequence[str]) -> None:
        left, top = self._corner(row, column)
        across = left + np.linspace(0, self._side, len(scaled))
        for channel, colour in zip(scaled.T, cycle(colours), strict=False):
            up = len(self._paper) - top - self._side + channel.clip(0, 1) * self._side
            line = Line2D(across, up, color=colour, linewidth=0.8, transform=matplotlib.transforms.IdentityTransform())
            self._figure.add_artist(line)

    def _draw_areas(self, row: int, column: int, scaled: NDArray[np.float64]) -> None:
        """Fill between a curve and its zero line, at half the height: red above the line, blue below it."""
        left, top = self._corner(row, column)
        right, bottom = left + self._side, len(self._paper) - top - self._side
        across, zero = np.linspace(left, right, len(scaled)), bottom + self._side / 2
        up = bottom + scaled * self._side
        space = matplotlib.transforms.IdentityTransform()
        for edge, colour in ((up.clip(min=zero), RED), (up.clip(max=zero), BLUE)):
            corners = [(left, zero), *zip(across, edge, strict=True), (right, zero)]
            self._figure.add_artist(Polygon(corners, color=colour, alpha=0.7, linewidth=0, transform=space))
        self._figure.add_artist(Line2D((left, right), (zero, zero), color=GREY, linewidth=0.8, transform=space))

    def _title(self, row: int, column: int, title: str, align: str) -> None:
        if title:
            self._waiting.append(partial(self._write_title, row, column, title, align))

    def _write_title(self, row: int, column: int, title: str, align: str) -> None:
        left, top = self._corner(row, column)
        self._write(title, left + (self._side // 2 if align == "center" else 0), top - 3, align, _POINTS)

    def _write(self, text: str, x: float, y: float, align: Any, points: float) -> None:
        height, width = self._paper.shape[:2]
        self._figure.text(
            x / width, 1 - y / height, text, ha=align, va="bottom", fontsize=points, linespacing=1.1, color=_TEXT
        )
