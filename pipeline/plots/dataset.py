"""Draw a prepared dataset: a contact sheet and the class balance."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import Kind
from pipeline.data.kind import KINDS
from pipeline.data.rows import Part
from pipeline.plots.pictures import as_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 10
_ROWS = 20
_MAX = 128  # pixels of an image's longer side; larger images are averaged down
_MAX_NAMES = 60
_MAX_SIDE = 16.0  # inches


def draw_contact_sheet(part: Part, classes: tuple[str, ...], path: Path, kind: Kind = "image") -> None:
    """Draw the first samples of each class, one row per class.

    Samples without three channels are shown as the mean of their channels in grey, series as a line per channel,
    volumes as their middle slice.

    Args:
        part: Samples and labels of the training split.
        classes: Names of the classes.
        path: PNG file to write.
        kind: Kind of the samples.
    """
    from matplotlib.figure import Figure

    from pipeline.plots.figure import save_figure

    shown = classes[:_ROWS]
    figure = Figure(figsize=(8.5, 0.75 * len(shown) + 0.6), layout="constrained")
    axes = figure.subplots()
    axes.set_frame_on(False)
    # One pair of axes for the whole sheet: separate axes for each sample take seconds.
    if kind == "series":
        _draw_curves(axes, _first_of_each_class(part, len(shown), kind))
    else:
        axes.imshow(_sheet(part, len(shown), kind), extent=(0, _COLUMNS, len(shown), 0))
    axes.set_xticks([])
    axes.set_yticks([row + 0.5 for row in range(len(shown))], [name[:24] for name in shown])
    axes.tick_params(length=0)
    hidden = f", {len(classes) - len(shown)} more classes not shown" if len(classes) > len(shown) else ""
    figure.suptitle(f"Training {KINDS[kind].many}{hidden}")
    save_figure(figure, path)


def _first_of_each_class(part: Part, rows: int, kind: Kind) -> list[list[NDArray[Any]]]:
    """The first samples of each class as they are shown. They are read one after the other, since they may be large."""
    samples, labels = part
    shown = [np.flatnonzero(labels == row)[:_COLUMNS] for row in range(rows)]
    return [
        [np.array(as_picture(np.asarray(samples[place : place + 1])[0], kind)) for place in places] for places in shown
    ]


def _draw_curves(axes: "Axes", series: list[list[NDArray[Any]]]) -> None:
    """Draw series (time, channels) in cells of side 1, each scaled to its own range, with a line per channel."""
    for row, of_class in enumerate(series):
        for column, values in enumerate(of_class):
            low, high = float(values.min()), float(values.max())
            down = row + 0.9 - 0.8 * (values - low) / max(high - low, 1e-9)
            axes.plot(column + np.linspace(0.05, 0.95, len(values)), down, linewidth=0.6)
            axes.set_prop_cycle(None)  # the same colour for a channel in each cell
    axes.set(xlim=(0, _COLUMNS), ylim=(len(series), 0))


def _sheet(part: Part, rows: int, kind: Kind) -> NDArray[np.uint8]:
    """Arrange the samples in square cells, as RGBA with a transparent background."""
    from PIL import Image

    read = _first_of_each_class(part, rows, kind)
    low, high = (0.0, 255.0) if part[0].dtype == np.uint8 else _bounds([each for row in read for each in row])
    height, width = next(each for row in read for each in row).shape[:2]
    scale = min(1.0, _MAX / max(height, width))
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    cell = max(height, width) + max(1, max(height, width) // 12)
    sheet = np.zeros((rows * cell, _COLUMNS * cell, 4), dtype=np.uint8)
    for row, of_class in enumerate(read):
        for column, values in enumerate(of_class):
            image = values if values.shape[-1] == 3 else values.mean(axis=-1, keepdims=True).repeat(3, -1)
            colors = np.clip((image - low) * (255 / max(high - low, 1e-9)), 0, 255).astype(np.uint8)
            top, left = row * cell + (cell - height) // 2, column * cell + (cell - width) // 2
            place = sheet[top : top + height, left : left + width]
            place[..., :3] = np.asarray(Image.fromarray(colors).resize((width, height), Image.Resampling.BOX))
            place[..., 3] = 255
    return sheet


def _bounds(pictures: list[NDArray[Any]]) -> tuple[float, float]:
    """Smallest and largest value of the pictures."""
    return min(float(each.min()) for each in pictures), max(float(each.max()) for each in pictures)


def draw_class_balance(counts: Mapping[str, Mapping[str, int]], path: Path, kind: Kind = "image") -> None:
    """Draw a stacked bar for each class, with a segment per split.

    With many classes, only a part of them is named.

    Args:
        counts: Number of samples of each class, by split.
        path: PNG file to write.
        kind: Kind of the samples.
    """
    from matplotlib.figure import Figure

    from pipeline.plots.figure import save_figure

    classes = list(next(iter(counts.values())))
    figure = Figure(figsize=(8, min(0.32 * len(classes) + 1.4, _MAX_SIDE)), layout="constrained")
    axes = figure.subplots()
    left = np.zeros(len(classes))
    for split, of_class in counts.items():
        widths = np.array([of_class[name] for name in classes])
        axes.barh(range(len(classes)), widths, left=left, label=f"{split} ({widths.sum():,})")
        left += widths
    step = math.ceil(len(classes) / _MAX_NAMES)
    axes.set_yticks(range(0, len(classes), step), classes[::step])
    axes.set_ylim(len(classes) - 0.4, -0.6)
    axes.set_xlabel(KINDS[kind].many)
    axes.set_title(f"{KINDS[kind].many.capitalize()} per class and split")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    save_figure(figure, path)
