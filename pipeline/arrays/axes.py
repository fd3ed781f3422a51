"""Determine the kind of arrays, and bring their axes into the order (n, *grid, channels)."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import Kind
from pipeline.data.kind import KINDS
from pipeline.data.rows import MappedRows, Rows
from pipeline.errors import UserError

Channels = Literal["auto", "first", "last"]
DeclaredKind = Literal["auto", "image", "series", "volume"]
_CHANNELS = (1, 3, 4)  # of images and volumes: grey, colour, colour with alpha


def kind_of_arrays(name: str, split: str, shape: tuple[int, ...], declared: DeclaredKind) -> Kind:
    """Determine the kind of an array of samples: the declared one, or else images, or volumes if there are five axes.

    Args:
        name: Name of the source.
        split: The split that the array belongs to.
        shape: Shape of the array.
        declared: `data.kind`.

    Raises:
        UserError: The kind cannot be determined, or the array does not have the axes of its kind.
    """
    if declared == "auto" and len(shape) == 2:
        raise UserError(
            f"data.source: {name}: images of {split} must have shape {KINDS['image'].shape}, or without channels, got "
            f"{shape}; set data.kind: series if each row is a series of values in time, or reshape them"
        )
    kind: Kind = declared if declared != "auto" else "volume" if len(shape) == 5 else "image"
    words = KINDS[kind]
    if len(shape) not in (words.rank + 1, words.rank + 2):
        raise UserError(
            f"data.source: {name}: {words.many} of {split} must have shape {words.shape}, or without channels, "
            f"got {shape}; reshape them, or change data.kind"
        )
    return kind


def channels_last(name: str, split: str, samples: Rows, kind: Kind, channels: Channels) -> Rows:
    """Convert samples to shape (n, *grid, channels). Samples without channels get one.

    Args:
        name: Name of the source.
        split: The split that the samples belong to.
        samples: (n, *grid), (n, *grid, channels) or (n, channels, *grid).
        kind: Kind of the samples.
        channels: Axis that contains the channels; auto: the last one, unless they seem to come first.

    Raises:
        UserError: The channels seem to come first, which `data.channels` does not declare.
    """
    words, shape = KINDS[kind], samples.shape
    if len(shape) == words.rank + 1:
        return MappedRows(samples, _with_channel, (*shape[1:], 1), samples.dtype)
    if channels == "first":
        return MappedRows(samples, _first_axis_last, (*shape[2:], shape[1]), samples.dtype)
    if channels == "auto" and seems_channels_first(shape[1:], kind):
        one = "×".join(map(str, shape[1:-1]))
        raise UserError(
            f"data.source: {name}: {words.many} of {split} must have shape {words.shape}, "
            f"got {shape}, which seems to have {shape[1]} channels first; set data.channels: first to move the "
            f"channels, or data.channels: last if {'an' if words.one == 'image' else 'a'} {words.one} is {one} with "
            f"{shape[-1]} channels"
        )
    return samples


def seems_channels_first(sample: tuple[int, ...], kind: Kind) -> bool:
    """Whether the first axis of a sample seems to be that of the channels.

    A series has any number of channels, usually fewer than time steps. Images and volumes have few.
    """
    first, last = sample[0], sample[-1]
    if kind == "series":
        return first < last
    cubic = len(set(sample[:-1])) == 1  # height and width, if the channels are last
    return first in _CHANNELS and last not in _CHANNELS and first < last and not cubic


def _with_channel(values: NDArray[Any]) -> NDArray[Any]:
    return values[..., np.newaxis]


def _first_axis_last(values: NDArray[Any]) -> NDArray[Any]:
    return np.moveaxis(values, 1, -1)
