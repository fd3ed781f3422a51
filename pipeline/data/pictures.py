"""Pictures of a prepared dataset: a contact sheet and the class balance."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.data.source import Part

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 10
_ROWS = 20
_MOST_NAMES = 60
_LONGEST_SIDE = 16.0  # inches


def draw_contact_sheet(part: Part, classes: tuple[str, ...], path: Path) -> None:
    """The first images of each class, a row per class; images of other than 1 or 3 channels as their mean."""
    from matplotlib.figure import Figure

    from pipeline.figure import save_figure

    images, labels = part
    shown = classes[:_ROWS]
    figure = Figure(figsize=(8.5, 0.75 * len(shown) + 0.6), layout="constrained")
    axes = figure.subplots(len(shown), _COLUMNS, squeeze=False)
    low, high = (0, 255) if images.dtype == np.uint8 else (float(images.min()), float(images.max()))
    for label, name in enumerate(shown):
        chosen = np.flatnonzero(labels == label)[:_COLUMNS]
        for column, cell in enumerate(axes[label]):
            cell.set_xticks([])
            cell.set_yticks([])
            cell.set_frame_on(False)
            if column < len(chosen):
                _show(cell, images[chosen[column]], low, high)
        axes[label][0].set_ylabel(name[:24], rotation=0, ha="right", va="center")
    hidden = f", {len(classes) - len(shown)} more classes not shown" if len(classes) > len(shown) else ""
    figure.suptitle(f"Training images{hidden}")
    save_figure(figure, path)


def _show(cell: "Axes", image: np.ndarray, low: float, high: float) -> None:
    if image.shape[-1] == 3:
        cell.imshow((image - low) / max(high - low, 1e-9))
    else:
        cell.imshow(image.mean(axis=-1), cmap="gray", vmin=low, vmax=high)


def draw_class_balance(counts: Mapping[str, Mapping[str, int]], path: Path) -> None:
    """A bar for each class, its splits side by side in it; of many classes only every so many are named."""
    from matplotlib.figure import Figure

    from pipeline.figure import save_figure

    classes = list(next(iter(counts.values())))
    figure = Figure(figsize=(8, min(0.32 * len(classes) + 1.4, _LONGEST_SIDE)), layout="constrained")
    axes = figure.subplots()
    left = np.zeros(len(classes))
    for split, of_class in counts.items():
        widths = np.array([of_class[name] for name in classes])
        axes.barh(range(len(classes)), widths, left=left, label=f"{split} ({widths.sum():,})")
        left += widths
    step = math.ceil(len(classes) / _MOST_NAMES)
    axes.set_yticks(range(0, len(classes), step), classes[::step])
    axes.set_ylim(len(classes) - 0.4, -0.6)
    axes.set_xlabel("images")
    axes.set_title("Images per class and split")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    save_figure(figure, path)
