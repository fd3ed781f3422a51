"""Volumes that are folders of images, one for each slice along the depth."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.data.input_format import COLOR_MODES, ImageFormat
from pipeline.data.value_range import ValueRange
from pipeline.data.volume_format import VolumeFormat
from pipeline.errors import UnreadableError, shown_first
from pipeline.images.decode import read_image
from pipeline.images.file_formats import SUFFIXES
from pipeline.volumes.fit import fitted
from pipeline.volumes.nifti import MAX_VALUES
from pipeline.volumes.read_volume import DecodedVolume

_RANGE = ValueRange(black=0.0, white=1.0)


def is_slice(name: str) -> bool:
    """Whether a file is an image, by its ending."""
    return name.lower().endswith(SUFFIXES)


def read_slice(source: Path | bytes, name: str, image_format: ImageFormat) -> tuple[NDArray[np.float32], str]:
    """Read a slice as values (height, width, channels) from 0 to 1 by its bit depth, and the format of its file.

    Raises:
        UnreadableError: The file is not a readable image.
    """
    image = read_image(source, name, image_format, _RANGE)
    return np.asarray(image.values, np.float32), image.file_format


def natural_order(name: str) -> list[tuple[int, str]]:
    """Key for sorting names in which numbers are compared as numbers: `slice 2` is before `slice 10`."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), part) if number % 2 else (0, part) for number, part in enumerate(parts)]


def missing_slices(names: Sequence[str]) -> list[str]:
    """Return the numbers that are missing in a volume, such as 3 or `5 to 9`.

    The names must be alike except for one number, and at least half of the steps between the numbers equal; the others
    must be multiples of this step. Other names do not count the slices, so that nothing is missing.

    Args:
        names: Names of the slices, without their folder.
    """
    parts = [re.split(r"(\d+)", name) for name in names]
    if len({len(each) for each in parts}) != 1:
        return []
    places = [place for place, column in enumerate(zip(*parts, strict=True)) if len(set(column)) > 1]
    if len(places) != 1 or places[0] % 2 == 0:  # a part between numbers
        return []
    numbers = sorted({int(each[places[0]]) for each in parts})
    steps = Counter(later - earlier for earlier, later in pairwise(numbers))
    if not steps:
        return []
    step, count = max(steps.items(), key=lambda item: (item[1], -item[0]))
    if 2 * count < steps.total() or any(each % step for each in steps):
        return []
    return [
        str(earlier + step) if later - earlier == 2 * step else f"{earlier + step} to {later - step}"
        for earlier, later in pairwise(numbers)
        if later - earlier > step
    ]


def read_slices(folder: Path, name: str, form: VolumeFormat, channels: int) -> DecodedVolume:
    """Read a folder of slices as one volume, as prepare does.

    Args:
        folder: Folder with the slices, ordered by name, and nothing else except hidden files.
        name: Name of the folder in messages.
        form: Shape of the result, and what is behind transparent parts.
        channels: Channels of the network's input: 1 for grey, 3 for colours.

    Raises:
        UnreadableError: The network takes other channels, the folder contains other files, a slice is missing or not
            readable, the slices have several sizes, or they have too many values.
    """
    if channels not in COLOR_MODES:
        raise UnreadableError(f"{name}: must be a volume with {channels} channels, got slices, which have 1 or 3")
    image_format = ImageFormat(color_mode=COLOR_MODES[channels], background=form.background)
    names = sorted((each.name for each in folder.iterdir() if not each.name.startswith(".")), key=natural_order)
    if other := [each for each in names if not is_slice(each)]:
        raise UnreadableError(f"{name}: a folder of slices must contain only slices, got {other[0]}; remove it")
    if missing := missing_slices(names):
        raise UnreadableError(
            f"{name}: must have all of its slices, got none with number {shown_first(missing)}; add them"
        )
    slices: list[NDArray[np.float32]] = []
    for each in names:
        values, _ = read_slice(folder / each, f"{name}/{each}", image_format)
        if slices and values.shape != slices[0].shape:
            one, two = ("×".join(map(str, shape[:2])) for shape in (slices[0].shape, values.shape))
            raise UnreadableError(
                f"{name}: slices must have one size, got {one} and {two} in {each}; correct the folder"
            )
        if values.size * len(names) > MAX_VALUES:
            raise UnreadableError(f"{name}: must have at most {MAX_VALUES:,} values, got {len(names):,} slices")
        slices.append(values)
    return DecodedVolume(fitted(np.stack(slices), form), (len(slices), *slices[0].shape[:2]), "slices")
