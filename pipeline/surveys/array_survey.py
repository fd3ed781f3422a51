"""Inspect sources that consist of arrays, for the rules of `init`."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.kind import KINDS
from pipeline.errors import UserError
from pipeline.images.file_names import existing
from pipeline.loaders.table import load
from pipeline.sections import DataParams
from pipeline.sources.array_files import training_samples
from pipeline.sources.source import Source
from pipeline.surveys.array_layout import ArrayLayout, find_layout
from pipeline.surveys.file_sample import spread_places
from pipeline.surveys.image_survey import as_bytes, has_colour, shrunk
from pipeline.surveys.mirroring import compare_mirrored
from pipeline.surveys.recommendation import Recommendation
from pipeline.surveys.survey import Survey

_DECLARABLE = ("npz", "npy", "hdf5", "zarr")


def survey_arrays(data: DataParams, place: str, seed: int) -> Survey:
    """Inspect arrays, or images that the project contains or draws. Only a part of the samples is read.

    Args:
        data: The section `data`. With a `kind` other than auto, the arrays are what it declares.
        place: The part of `data.source` after the colon.
        seed: Seed of generated images, and of the test with mirror images.

    Raises:
        UserError: The arrays cannot be read, or samples of their shape are of no kind.
    """
    kind, layout = data.source.partition(":")[0], None
    if kind in _DECLARABLE:
        layout = _declared(data, find_layout(training_samples(kind, existing(Path(place)))))
    if layout is not None:
        data = data.model_copy(update={"kind": layout.kind, "channels": layout.channels})
    source = load(data, seed, Path("data/decoded"))
    samples, _ = source.parts["train"]
    if len(samples.shape) != KINDS[source.kind].rank + 2 or 0 in samples.shape:
        raise UserError(
            f"data.source: {source.name}: {KINDS[source.kind].many} must have shape {KINDS[source.kind].shape}, got "
            f"{samples.shape}; reshape them"
        )
    *grid, channels = samples.shape[1:]
    chosen = spread_places(len(samples))
    return Survey(
        source=data.source,
        classes=source.classes,
        counts={
            split: tuple(np.bincount(part[1], minlength=len(source.classes)).tolist())
            for split, part in source.parts.items()
        },
        grid=tuple(grid),
        channels=channels,
        inspected=len(chosen),
        kind=source.kind,
        inputs=_words(source),
        settings=_settings(layout),
        notes=_notes(layout),
        **(_image_facts(source, chosen, seed) if source.kind == "image" else {}),
    )


def _declared(data: DataParams, found: ArrayLayout | None) -> ArrayLayout | None:
    """The layout that the section `data` declares; where it declares nothing, the one that was found."""
    if data.kind == "auto":
        return found
    if found is not None and data.kind == found.kind and data.channels in ("auto", found.channels):
        return found
    channels = found.channels if found is not None and data.channels == "auto" else data.channels
    return ArrayLayout(data.kind, "last" if channels == "auto" else channels, "As declared before.")


def _settings(layout: ArrayLayout | None) -> tuple[Recommendation, ...]:
    if layout is None:
        return ()
    return (
        Recommendation("data.kind", layout.kind, layout.reason),
        Recommendation("data.channels", layout.channels),
    )


def _notes(layout: ArrayLayout | None) -> tuple[str, ...]:
    if layout is None or not layout.otherwise:
        return ()
    return (f"assumed data.kind: {layout.kind}. {layout.reason} {layout.otherwise}",)


def _words(source: Source) -> tuple[str, str]:
    words = KINDS[source.kind]
    return words.one, words.many


def _image_facts(source: Source, chosen: list[int], seed: int) -> dict[str, Any]:
    """Colours, and the test with mirror images."""
    images, labels = source.parts["train"]
    opened = [as_bytes(image) for image in images[np.array(chosen)]]
    small = np.stack([shrunk(image) for image in opened])
    coloured = sum(has_colour(image) for image in opened) if images.shape[-1] == 3 else 0
    return {
        "coloured": coloured / len(chosen),
        "mirrored": compare_mirrored(small, labels[chosen], len(source.classes), seed),
    }
