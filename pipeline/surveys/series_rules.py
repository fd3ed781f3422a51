"""Rules for the section `data.series`: windows, lengths, missing values and splits."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.signals.windows import window_starts
from pipeline.surveys.recommendation import Recommendation

_LONG = 2_048  # time steps of the longest series that is one input
_WINDOW = 256  # time steps of a window of longer series
_SAME_RATE = 1.01  # ratio of two sampling rates up to which they are equal
_FEW_SERIES = 6  # series of each class that random splits need: two for each split
_MANY_WINDOWS = 20  # in each series that is divided in time


@dataclass(frozen=True)
class SeriesFacts:
    """What was found in one series.

    Attributes:
        length: Time steps.
        channels: Number of channels.
        incomplete: Whether values or time steps are missing.
        rate: Sampling rate in Hz by the time stamps; None: there are none.
        split: Split of the source.
    """

    length: int
    channels: int
    incomplete: bool
    rate: float | None = None
    split: str = "train"


@dataclass(frozen=True)
class SeriesRules:
    """The choices for series.

    Attributes:
        settings: Choices for `data.series`.
        window: Time steps of an input.
        hop: Time steps from one input to the next one; None: a series is one input.
        lengths: Time steps of each series after resampling.
        in_time: Whether each series is divided over the splits.
    """

    settings: tuple[Recommendation, ...]
    window: int
    hop: int | None
    lengths: tuple[int, ...]
    in_time: bool

    def inputs_per_series(self) -> float:
        """Mean number of inputs of a series."""
        if self.hop is None:
            return 1.0
        return statistics.fmean(
            len(window_starts(max(length, self.window), self.window, self.hop)) for length in self.lengths
        )


def series_rules(found: Sequence[SeriesFacts], every: bool, grouped: bool, fewest: int, dividable: bool) -> SeriesRules:
    """Choose the settings of `data.series`.

    Args:
        found: What was found in the inspected series; at least one.
        every: Whether all series were inspected.
        grouped: Whether each series has a group, with at least three groups per class.
        fewest: Number of training series of the smallest class.
        dividable: Whether the source has no splits of its own, so that series can be divided in time.
    """
    rate, rate_reason = _rate(found)
    if rate is not None:
        found = [replace(each, length=max(1, round(each.length * rate / (each.rate or rate)))) for each in found]
    lengths = tuple(each.length for each in found)
    windows = max(lengths) > _LONG
    if windows:
        window, hop = _WINDOW, _WINDOW // 2
        policy, length_reason = "pad", "Series shorter than a window are continued with their last value."
        window_reason = (
            f"{_range(lengths)}: too long for one input. Windows of {window} that overlap by half; increase them if "
            "what distinguishes the classes takes longer."
        )
    else:
        window, hop = max((each.length for each in found if each.split == "train"), default=max(lengths)), None
        policy, length_reason = _policy(lengths, every)
        window_reason = f"{_range(lengths)}: short enough for one input."
    in_time = windows and dividable and not grouped and fewest < _FEW_SERIES and min(lengths) >= _MANY_WINDOWS * _WINDOW
    incomplete = sum(each.incomplete for each in found)
    settings = (
        _setting("window", window if windows else None, window_reason),
        _setting("hop", hop),
        _setting("rate", rate, rate_reason),
        _setting("lengths", policy, length_reason),
        _setting("missing", "interpolate" if incomplete else "error", _missing_reason(incomplete, len(found))),
        _setting("split_by", *_split(grouped, in_time)),
    )
    return SeriesRules(settings, window, hop, lengths, in_time)


def _setting(key: str, value: Any, reason: str = "") -> Recommendation:
    return Recommendation(f"data.series.{key}", value, reason)


def _range(lengths: Sequence[int]) -> str:
    least, greatest = min(lengths), max(lengths)
    if least == greatest:
        return f"All {len(lengths):,} inspected series have {least:,} time steps"
    return f"The {len(lengths):,} inspected series have {least:,} to {greatest:,} time steps"


def _policy(lengths: Sequence[int], every: bool) -> tuple[str, str]:
    if len(set(lengths)) > 1:
        return "pad", "Shorter series are continued with their last value, which keeps the scale of time."
    if every:
        return "error", "All series have the same length."
    return "pad", "Not all series were inspected; shorter ones would be continued with their last value."


def _rate(found: Sequence[SeriesFacts]) -> tuple[float | None, str]:
    """The rate to resample to; None: all series have the same one, or some have no time stamps."""
    rates = [each.rate for each in found if each.rate is not None]
    if not rates:
        return None, "The series have no time stamps."
    if len(rates) < len(found):
        return None, "Some series have no time stamps, so the sampling rates cannot be compared."
    least, greatest = min(rates), max(rates)
    if greatest <= _SAME_RATE * least:
        return None, f"All inspected series have about {least:.4g} Hz."
    rate = float(f"{statistics.median(rates):.3g}")
    return rate, f"The inspected series have {least:.4g} to {greatest:.4g} Hz; all are resampled to the median."


def _missing_reason(incomplete: int, inspected: int) -> str:
    if not incomplete:
        return "No inspected series has a missing value or time step."
    return f"{incomplete:,} of {inspected:,} inspected series have missing values or time steps; they are interpolated."


def _split(grouped: bool, in_time: bool) -> tuple[str, str]:
    if grouped:
        return "group", "Series have groups, such as persons; accuracy on new groups is what counts."
    if in_time:
        return (
            "time",
            "Too few series for random splits, so each one is divided into an earlier and a later part.",
        )
    return (
        "random",
        "A series is in one split as a whole; set group if new data come from new persons or machines.",
    )
