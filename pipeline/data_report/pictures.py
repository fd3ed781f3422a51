"""Pictures of samples, with their names."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from pipeline.checks.measurements import Measurements, Read
from pipeline.data.dataset import Kind
from pipeline.data.split import SplitName
from pipeline.plots.checks import draw_album
from pipeline.report.builder import ReportBuilder

_LARGE = 2**22  # bytes of a sample of which only a part is drawn
_POSITIONS = {1: 65_536, 2: 512, 3: 96}  # per axis, by number of axes; at most twice as many are drawn


@dataclass(frozen=True)
class Samples:
    """The samples of a dataset, and how they are drawn.

    Attributes:
        read: Returns the samples of a split with ascending indices.
        bounds: Raw values that are drawn as black and white.
        kind: Kind of the samples.
    """

    read: Read
    bounds: tuple[float, float]
    kind: Kind

    def drawn(self, split: SplitName, places: Iterable[int]) -> list[NDArray[Any]]:
        """Samples (*grid, channels) for a picture, read one at a time; of large ones, evenly spread positions."""
        return [_reduced(self.read(split, np.array([place], np.int64))[0]) for place in places]


def _reduced(sample: NDArray[Any]) -> NDArray[Any]:
    most = _POSITIONS[sample.ndim - 1]
    steps = tuple(slice(None, None, max(1, extent // most)) for extent in sample.shape[:-1])
    return sample[steps].copy() if sample.nbytes > _LARGE else sample


def album(
    report: ReportBuilder,
    measured: Measurements,
    name: str,
    indices: Sequence[int],
    caption: str,
    samples: Samples,
) -> Markup:
    """Draw samples with their names and classes.

    Args:
        report: Report that the picture belongs to.
        measured: Results of the checks.
        name: Name of the picture.
        indices: Indices of the samples.
        caption: Caption of the picture.
        samples: The samples, and how they are drawn.
    """
    images, titles = [], []
    for index in indices:
        split, place = measured.place(index)
        images += samples.drawn(split, [place])
        titles.append(f"{measured.name(index)}\n{split}, {measured.class_name(index)}")
    return report.images(name, draw_album(images, titles, samples.bounds, samples.kind), caption)
