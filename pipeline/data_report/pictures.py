"""Pictures of samples, with their names."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from pipeline.checks.measurements import Measurements, Read
from pipeline.data.dataset import Kind
from pipeline.plots.checks import draw_album
from pipeline.report.builder import ReportBuilder


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
        images.append(samples.read(split, np.array([place], np.int64))[0])
        titles.append(f"{measured.name(index)}\n{split}, {measured.class_name(index)}")
    return report.images(name, draw_album(images, titles, samples.bounds, samples.kind), caption)
