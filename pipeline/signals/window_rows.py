"""The windows of many samples, cut when they are read: overlapping windows need no space of their own."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.data.rows import Rows
from pipeline.errors import UserError
from pipeline.signals.windows import check_length, time_segments, window_starts


class LongSample(NamedTuple):
    """A series or recording of any length.

    Attributes:
        split: Part of the source that it belongs to.
        label: Class index.
        name: Name in messages and reports.
        group: Group that must not be distributed over several splits.
        length: Number of values in time.
        weight: Weight of its windows in the training loss; None: the samples have none.
    """

    split: str
    label: int
    name: str
    group: str
    length: int
    weight: float | None = None


@dataclass
class Windows:
    """Windows of one split.

    Attributes:
        spans: Number of the sample, start and stop of each window.
        labels: Class index of each window.
        names: Name of each window: that of its sample, with a number if there are several.
        groups: Group of each window.
        weights: Weight of each window, that of its sample; empty if the samples have none.
    """

    spans: list[tuple[int, int, int]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def add(self, number: int, sample: LongSample, spans: Iterable[slice]) -> None:
        """Add the windows of a sample."""
        spans = list(spans)
        self.spans += [(number, span.start, span.stop) for span in spans]
        self.labels += [sample.label] * len(spans)
        self.names += [f"{sample.name} ({place + 1})" if len(spans) > 1 else sample.name for place in range(len(spans))]
        self.groups += [sample.group] * len(spans)
        if sample.weight is not None:
            self.weights += [sample.weight] * len(spans)


def whole_samples(samples: Iterable[LongSample], window: int, lengths: str, where: str) -> dict[str, Windows]:
    """One window for each sample: all of it, to be fitted to the length of a window.

    Args:
        samples: The samples.
        window: Number of values of a window.
        lengths: Action on samples of other lengths, as of `fit_length`.
        where: The source, in messages.

    Raises:
        UserError: A sample has a length that cannot be converted.
    """
    found: dict[str, Windows] = {}
    for number, sample in enumerate(samples):
        check_length(sample.length, window, lengths, f"{where}: {sample.name}")
        found.setdefault(sample.split, Windows()).add(number, sample, [slice(0, sample.length)])
    return found


def cut_samples(samples: Iterable[LongSample], window: int, hop: int, can_pad: bool, where: str) -> dict[str, Windows]:
    """The windows of all samples by split.

    Args:
        samples: The samples.
        window: Number of values of a window.
        hop: Number of values from the start of a window to that of the next one.
        can_pad: Whether a sample that is shorter than a window becomes one.
        where: The source, in messages.

    Raises:
        UserError: A sample is shorter than a window, and may not be.
    """
    found: dict[str, Windows] = {}
    for number, sample in enumerate(samples):
        if sample.length < window and not can_pad:
            raise UserError(
                f"{where}: {sample.name}: must have at least {window} time steps (data.series.window), got "
                f"{sample.length}; lower the window, remove the series, or set data.series.lengths: pad or stretch"
            )
        spans = _spans(slice(0, sample.length), window, hop)
        found.setdefault(sample.split, Windows()).add(number, sample, spans)
    return found


def cut_in_time(
    samples: Iterable[LongSample], window: int, hop: int, val_fraction: float, test_fraction: float, where: str
) -> dict[str, Windows]:
    """The windows of all samples; the last part of each is for testing, the part before it for validation.

    No window lies in two parts, so windows of different splits share no time step.

    Args:
        samples: The samples; their own split is not used.
        window: Number of values of a window.
        hop: Number of values from the start of a window to that of the next one.
        val_fraction: Fraction of the time before the test part that is used for validation.
        test_fraction: Fraction of the time, at the end, that is used for testing.
        where: The source, in messages.

    Raises:
        UserError: A part of a sample is shorter than a window.
    """
    found = {split: Windows() for split in ("train", "val", "test")}
    for number, sample in enumerate(samples):
        for split, part in time_segments(sample.length, val_fraction, test_fraction).items():
            if part.stop - part.start < window:
                raise UserError(
                    f"{where}: {sample.name}: the part of each split must have at least {window} time steps "
                    f"(data.series.window), got {part.stop - part.start} for {split} of {sample.length}; lower the "
                    "window, remove the series, or change data.val_fraction and data.test_fraction"
                )
            one = sample._replace(group=f"{sample.group}: {split}")  # windows of other splits share nothing with it
            found[split].add(number, one, _spans(part, window, hop))
    return found


def _spans(part: slice, window: int, hop: int) -> Iterator[slice]:
    length = part.stop - part.start
    if length < window:
        yield part
    for start in window_starts(length, window, hop):
        yield slice(part.start + start, part.start + start + window)


class WindowedParts(NamedTuple):
    """Windows of long samples as parts of a source.

    Attributes:
        parts: Windows and their labels, by split.
        names: Names of the windows, by split.
        groups: Groups of the windows, by split.
        weights: Weights of the windows, by split; empty if they have none.
    """

    parts: dict[str, tuple[Rows, NDArray[np.int64]]]
    names: dict[str, list[str]]
    groups: dict[str, list[str]]
    weights: dict[str, list[float]]


def windowed_parts(windows: Mapping[str, Windows], rows: Callable[[NDArray[np.int64]], Rows]) -> WindowedParts:
    """Turn windows into parts of a source.

    Args:
        windows: The windows by split.
        rows: Function from (n, 3) spans to their rows.
    """
    return WindowedParts(
        {
            split: (rows(np.array(each.spans, np.int64).reshape(-1, 3)), np.array(each.labels, np.int64))
            for split, each in windows.items()
        },
        {split: each.names for split, each in windows.items()},
        {split: each.groups for split, each in windows.items()},
        {split: each.weights for split, each in windows.items() if each.weights},
    )


@dataclass(frozen=True)
class WindowRows:
    """Windows as rows of a source.

    Attributes:
        read: Function from the number of a sample to its values (time, ...).
        spans: (n, 3) number of the sample, start and stop of each window.
        fit: Function from the values of a span to those of a window; it converts shorter and longer ones.
        sample_shape: Shape of a window.
        dtype: Dtype of the values.
    """

    read: Callable[[int], NDArray[Any]]
    spans: NDArray[np.int64]
    fit: Callable[[NDArray[Any]], NDArray[Any]]
    sample_shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of windows, then the shape of a window."""
        return len(self.spans), *self.sample_shape

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.spans)

    def __getitem__(self, chosen: Any, /) -> NDArray[Any]:
        """Read windows as an array (n, window, ...). Each sample is read once for all its windows in a row."""
        spans = self.spans[chosen]
        windows = np.empty((len(spans), *self.sample_shape), self.dtype)
        last, values = -1, np.empty(0)
        for place, (number, start, stop) in enumerate(spans.tolist()):
            if number != last:
                last, values = number, self.read(number)
            windows[place] = self.fit(values[start:stop])
        return windows
