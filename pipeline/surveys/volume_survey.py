"""Inspect volumes, and choose the settings of `data.volume`."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.data.input_format import ImageFormat
from pipeline.data.volume_format import VolumeFormat
from pipeline.decoding.decode import fetch_file
from pipeline.listing.entry import FileEntry, Listing
from pipeline.loaders.table import listing_of
from pipeline.sections import DataParams
from pipeline.surveys.file_sample import counts_of, open_files, require_readable, spread
from pipeline.surveys.image_survey import has_colour
from pipeline.surveys.recommendation import Recommendation
from pipeline.surveys.survey import Survey
from pipeline.volumes.read_volume import read_volume
from pipeline.volumes.slices import is_slice, read_slice

_MAX_VOXELS = 32**3  # of an input: convolutions on volumes are expensive
_AS_IN_FILE = VolumeFormat(shape=None, resize="stretch", fill=0.0)
_COLOURED = ImageFormat(color_mode="rgb")


class _VolumeFacts(NamedTuple):
    """What was found in one volume."""

    shape: tuple[int, int, int]
    channels: int
    border: float  # median of the outer voxels
    coloured: bool | None  # of slices


def survey_volumes(data: DataParams, place: str, seed: int) -> Survey:
    """Inspect volumes, which are files or folders of slices. Of a folder, the middle slice is read.

    Args:
        data: The section `data`.
        place: The part of `data.source` after the colon.
        seed: Not used, since nothing is drawn.

    Raises:
        UserError: The files cannot be listed, none is readable, or nibabel is needed and not installed.
    """
    listing = listing_of("volumes", data, place)
    slices = _slices(listing)
    first = [slices[key][len(slices[key]) // 2] for key in slices]
    depths = {entry: len(of_volume) for entry, of_volume in zip(first, slices.values(), strict=True)}
    found = open_files(spread(first), partial(_facts, depths=depths), "volumes")
    require_readable(found, data.source, "volume")
    facts = [each for _, each in found.read]
    coloured = any(each.coloured for each in facts)
    settings, shape = volume_rules(facts)
    if facts[0].coloured is not None:
        mode = "rgb" if coloured else "grayscale"
        settings = (*settings, Recommendation("data.color_mode", mode, f"Inspected slices are {_in_words(coloured)}."))
    return Survey(
        source=data.source,
        classes=listing.classes,
        counts=counts_of(listing, first, found.unreadable),
        grid=shape,
        channels=facts[0].channels if facts[0].coloured is None else 3 if coloured else 1,
        inspected=len(facts),
        kind="volume",
        inputs=("volume", "volumes"),
        from_files=True,
        unreadable=found.names(),
        settings=settings,
    )


def _in_words(coloured: bool) -> str:
    return "coloured" if coloured else "grey"


def _slices(listing: Listing) -> Mapping[tuple[str, str], Sequence[FileEntry]]:
    """The files of each volume: one file, or the images of a folder."""
    found = defaultdict(list)
    for entry in listing.entries:
        of_folder = is_slice(entry.name)
        key = ("slices", str(PurePosixPath(entry.name).parent)) if of_folder else ("file", entry.name)
        found[key].append(entry)
    return found


def _facts(entry: FileEntry, depths: Mapping[FileEntry, int]) -> _VolumeFacts:
    content = fetch_file(entry.path, entry.name)
    if is_slice(entry.name):
        image, _ = read_slice(content, entry.name, _COLOURED)
        height, width, _ = image.shape
        shape = (depths[entry], height, width)
        return _VolumeFacts(shape, 1, _border(image[np.newaxis]), has_colour((255 * image).astype(np.uint8)))
    volume = read_volume(content, entry.name, _AS_IN_FILE)
    return _VolumeFacts(volume.shape, volume.values.shape[-1], _border(volume.values), None)


def _border(values: NDArray[Any]) -> float:
    """Median of the outer voxels of (depth, height, width, channels) values, in the planes of depth."""
    sides = (values[:, 0], values[:, -1], values[:, :, 0], values[:, :, -1])
    return float(np.median(np.concatenate([side.reshape(-1) for side in sides])))


def volume_rules(found: Sequence[_VolumeFacts]) -> tuple[tuple[Recommendation, ...], tuple[int, int, int]]:
    """Choose the settings of `data.volume`; return them, and the shape of an input."""
    shapes = np.array([each.shape for each in found])
    depth, height, width = (round(extent) for extent in np.median(shapes, axis=0).tolist())
    median = depth, height, width
    varied = len(np.unique(shapes, axis=0)) > 1
    least, greatest = (_shown(extents) for extents in (shapes.min(axis=0), shapes.max(axis=0)))
    seen = (
        f"The inspected volumes are {least} to {greatest}, {_shown(median)} in the median"
        if varied
        else (f"All inspected volumes are {_shown(median)}")
    )
    shape = _reduced(median)
    if shape != median:
        size = f"{seen}; the longest axes are reduced until there are at most {_MAX_VOXELS:,} voxels."
        fit, why = "stretch", "Each axis is scaled by its own factor."
    elif varied:
        size = f"{seen}, which is small enough to keep."
        fit, why = "pad", "All axes are scaled by one factor, so that nothing is distorted."
    else:
        size, fit, why = f"{seen}, which is small enough to keep.", "stretch", "Nothing is scaled."
    fill = round(float(np.median([each.border for each in found])), 3) if fit == "pad" else 0.0
    reason = "The median of the outermost voxels." if fit == "pad" else "Unused, since there are no margins."
    return (
        Recommendation("data.volume.shape", list(shape), size),
        Recommendation("data.volume.resize", fit, why),
        Recommendation("data.volume.fill", fill, reason),
    ), shape


def _reduced(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Limit all axes to one extent, a multiple of 4, so that there are not too many voxels."""
    if np.prod(shape) <= _MAX_VOXELS:
        return shape
    side = max(shape)
    while np.prod([min(extent, side) for extent in shape]) > _MAX_VOXELS and side > 1:
        side -= 1
    side = max(4, side - side % 4)
    depth, height, width = (min(extent, side) for extent in shape)
    return depth, height, width


def _shown(shape: Sequence[Any]) -> str:
    return "×".join(str(extent) for extent in shape)
