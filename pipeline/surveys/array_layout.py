"""Determine what arrays contain: images, series or volumes, and where their channels are."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays.axes import seems_channels_first
from pipeline.arrays.size import NUMBERS
from pipeline.data.kind import KINDS
from pipeline.data.rows import Rows
from pipeline.errors import plural
from pipeline.surveys.file_sample import spread_places

ArrayKind = Literal["image", "series", "volume"]
_COLOURS = (1, 3, 4)  # channels of images: grey, colour, colour with alpha
_FEW_CHANNELS = 8  # an axis that is this short is not one of an image
_ELONGATED = 8  # ratio of two axes from which the shorter one is not one of an image
_CUBIC = 4  # largest ratio of the axes of a volume
_SAMPLES = 400  # whose values are measured
_MIN_SAMPLES, _MIN_EXTENT = 20, 3  # from which they can be measured
_LINES = 200  # pairs of positions, for each distance
_MIN_GAIN = 0.05  # of the correlation of neighbours above that of positions that are apart


class ArrayLayout(NamedTuple):
    """What arrays contain.

    Attributes:
        kind: Kind of the samples.
        channels: Axis of the channels.
        reason: Why, as a sentence.
        otherwise: What to do if that is wrong, as a sentence; empty if nothing else fits the number of axes.
    """

    kind: ArrayKind
    channels: Literal["first", "last"]
    reason: str
    otherwise: str = ""


def find_layout(samples: Rows) -> ArrayLayout | None:
    """Determine what samples (n, …) are from their shape, and from their values where the shape is ambiguous.

    Returns:
        The layout; None if samples like these are of no kind.
    """
    sample = tuple(samples.shape[1:])
    if samples.dtype.kind not in NUMBERS or 0 in samples.shape:
        return None
    shown = "×".join(map(str, sample))
    if len(sample) == 1:
        reason = f"Samples of one axis, {shown} values, are series."
        return ArrayLayout("series", "last", reason, "If they are flattened images, reshape them.")
    if len(sample) == 2:
        return _of_two_axes(samples, sample, shown)
    if len(sample) == 3:
        return _of_three_axes(sample, shown)
    if len(sample) == 4:
        first = seems_channels_first(sample, "volume")
        return ArrayLayout("volume", "first" if first else "last", f"Samples of four axes, {shown}, are volumes.")
    return None


def _of_two_axes(samples: Rows, sample: tuple[int, ...], shown: str) -> ArrayLayout:
    """Images have axes of similar extents, along which neighbours are alike; series have one of channels."""
    short, long = sorted(sample)
    channels: Literal["first", "last"] = "first" if sample[0] < sample[1] else "last"
    as_series = f"are series of {long} time steps with {short} {plural(short, 'channel')}"
    if short <= _FEW_CHANNELS < long:
        reason = f"Samples of {shown} {as_series}: an image has no axis of {short}."
        return ArrayLayout("series", channels, reason, _if_they_are("image"))
    if long >= _ELONGATED * short:
        reason = f"Samples of {shown} {as_series}: the axes of images are less unequal."
        return ArrayLayout("series", channels, reason, _if_they_are("image"))
    ordered = _ordered(samples) if short >= _MIN_EXTENT else None
    if ordered is None or all(ordered) or not any(ordered):
        why = "neighbours are alike along both axes" if ordered == (True, True) else "the axes have similar extents"
        reason = f"Samples of {shown} are grey images: {why}."
        return ArrayLayout("image", "last", reason, _if_they_are("series"))
    channels = "last" if ordered[0] else "first"
    time, count = sample if ordered[0] else reversed(sample)
    why = f"along the axis of {count}, neighbours are no more alike than positions that are apart"
    reason = f"Samples of {shown} are series of {time} time steps with {count} channels: {why}."
    return ArrayLayout("series", channels, reason, _if_they_are("image"))


def _of_three_axes(sample: tuple[int, ...], shown: str) -> ArrayLayout:
    if sample[-1] in _COLOURS:
        return ArrayLayout("image", "last", f"Samples of {shown} are images with {sample[-1]} channels.")
    if seems_channels_first(sample, "image"):
        return ArrayLayout(
            "image", "first", f"Samples of {shown} are images with {sample[0]} channels, which come first."
        )
    if max(sample) <= _CUBIC * min(sample):
        reason = f"Samples of {shown} are volumes: their axes have similar extents."
        return ArrayLayout("volume", "last", reason, _if_they_are("image"))
    first = sample[0] == min(sample) < sample[-1]
    return ArrayLayout(
        "image",
        "first" if first else "last",
        f"Samples of {shown} are images with {min(sample[0], sample[-1]) if first else sample[-1]} channels: the axes "
        "of volumes have more similar extents.",
        _if_they_are("volume"),
    )


def _if_they_are(kind: ArrayKind) -> str:
    return f"If they are {KINDS[kind].many}, set data.kind: {kind} in the written file, and run init again."


def _ordered(samples: Rows) -> tuple[bool, bool] | None:
    """Whether each axis of samples (n, a, b) is an order, as time and space are: neighbours are more alike than others.

    Returns:
        A value for each axis; None if there are too few samples.
    """
    if len(samples) < _MIN_SAMPLES:
        return None
    values = np.asarray(samples[np.array(spread_places(len(samples), _SAMPLES))], np.float64)
    return _is_order(values), _is_order(values.swapaxes(1, 2))


def _is_order(values: NDArray[np.float64]) -> bool:
    """Whether neighbours along the second axis of (n, a, b) values are more correlated than other positions."""
    random = np.random.default_rng(0)
    extent = values.shape[1]
    across = random.integers(0, values.shape[2], _LINES)
    near, far = random.integers(0, extent - 1, _LINES), random.integers(0, extent, (2, _LINES))
    apart = np.abs(far[0] - far[1]) > 1
    neighbours = _correlation(values[:, near, across], values[:, near + 1, across])
    others = _correlation(values[:, far[0][apart], across[apart]], values[:, far[1][apart], across[apart]])
    return neighbours - others > _MIN_GAIN


def _correlation(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    """Mean absolute correlation of pairs of columns (n, pairs), without constant ones; 0 if there are none."""
    one, two = one - one.mean(axis=0), two - two.mean(axis=0)
    scale = np.sqrt(np.square(one).mean(axis=0) * np.square(two).mean(axis=0))
    used = scale > 0
    found = np.abs((one * two).mean(axis=0)[used]) / scale[used]
    return float(found.mean()) if found.size else 0.0
