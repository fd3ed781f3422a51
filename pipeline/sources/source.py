"""A source's images and labels as values, before checks and splits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError

Part = tuple[NDArray[Any], NDArray[np.int64]]
_SHOWN = 10
_CHANNELS = (1, 3, 4)  # of pictures: grey, colour, colour with transparency


@dataclass(frozen=True)
class SixteenBit:
    """Image files of 16 bits per value.

    Attributes:
        files: how many.
        least: value in them.
        greatest: value in them.
        grey: whether all have one channel; `data.value_range` can scale no others.
    """

    files: int
    least: int
    greatest: int
    grey: bool


@dataclass(frozen=True)
class Source:
    """Images as a source has them, before checks and splits.

    Attributes:
        name: of the source, without its path.
        classes: names; a label is a place in it.
        parts: images (n, height, width, channels) with labels (n,), by split; without a test, all in `train`.
        skipped: files that were left out, relative to the source.
        sixteen_bit: what was found in image files of 16 bits per value; None: there were none.
        links: folders below the source that are links, relative to it.
        names: of the images, by part; a part that is not in it numbers them.
    """

    name: str
    classes: tuple[str, ...]
    parts: dict[str, Part]
    skipped: tuple[str, ...] = field(default=())
    sixteen_bit: SixteenBit | None = None
    links: tuple[str, ...] = ()
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)


_CLASSES = {
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "fashion_mnist": (
        "t-shirt/top",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ),
}


def numbered(
    name: str,
    parts: dict[str, Part],
    classes: tuple[str, ...] = (),
    channels: Literal["auto", "first", "last"] = "last",
) -> Source:
    """A source whose labels are numbers; images without channels get one, labels of shape (n, 1) become (n,).

    Without names, those that are known for a source of this name are taken, or else the numbers.

    Args:
        name: of the source.
        parts: images (n, height, width), or with channels, and labels, by split.
        classes: names of the classes.
        channels: which axis of an image has the channels; auto: the last one, unless they seem to stand first.

    Raises:
        UserError: images or labels are no numbers, labels without names leave numbers out, or channels seem to stand
            first.
    """
    classes = classes or _CLASSES.get(name.replace("-", "_"), ())
    shaped = {}
    for split, (images, labels) in parts.items():
        images, labels = np.asarray(images), np.asarray(labels)
        if not np.issubdtype(labels.dtype, np.integer):
            raise UserError(f"data.source: {name}: labels of {split} must be whole numbers, got {labels.dtype}")
        if images.dtype != np.uint8:
            if not (np.issubdtype(images.dtype, np.integer) or np.issubdtype(images.dtype, np.floating)):
                raise UserError(f"data.source: {name}: images of {split} must be numbers, got {images.dtype}")
            images = images.astype(np.float32)
        shaped[split] = (_channels_last(name, split, images, channels), labels.reshape(-1).astype(np.int64))
    return Source(name, classes or _numbers(name, [labels for _, labels in shaped.values()]), shaped)


def _channels_last(
    name: str, split: str, images: NDArray[Any], channels: Literal["auto", "first", "last"]
) -> NDArray[Any]:
    """Images of shape (n, height, width, channels)."""
    if images.ndim == 3:
        return images[..., np.newaxis]
    if images.ndim != 4:
        return images
    if channels == "first":
        return np.ascontiguousarray(np.moveaxis(images, 1, -1))
    first, last = images.shape[1], images.shape[-1]
    square = first == images.shape[2]  # height and width, if the channels are last
    if channels == "auto" and first in _CHANNELS and last not in _CHANNELS and first < last and not square:
        raise UserError(
            f"data.source: {name}: images of {split} must have shape (n, height, width, channels), "
            f"got {images.shape}, which seems to have {first} channels first; set data.channels: first to have them "
            f"moved, or data.channels: last if an image is {first}×{images.shape[2]} with {last} channels"
        )
    return images


def _numbers(name: str, labels: Sequence[NDArray[np.int64]]) -> tuple[str, ...]:
    """The labels themselves as names, which need every number to be one."""
    found = np.unique(np.concatenate(labels))
    if found.size and (found[0] != 0 or found[-1] != found.size - 1):
        missing = np.setdiff1d(np.arange(found.size), found)  # the first ones: a label can be any number
        raise UserError(
            f"data.source: {name}: labels must be consecutive from 0, got {found.size} numbers from {found[0]} to "
            f"{found[-1]} without {shown_first([str(number) for number in missing])}; renumber the labels"
        )
    return tuple(str(number) for number in range(found.size))


def shown_first(told: Sequence[str], separator: str = ", ") -> str:
    """The first ten, and how many more there are."""
    more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return separator.join(told[:_SHOWN]) + more
