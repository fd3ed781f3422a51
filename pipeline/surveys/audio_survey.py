"""Inspect recordings, and choose the settings of `data.audio`."""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.decoding.decode import fetch_file
from pipeline.errors import UserError
from pipeline.listing.entry import FileEntry
from pipeline.loaders.table import listing_of
from pipeline.sections import DataParams
from pipeline.sections.signals import AudioParams
from pipeline.signals.formats import audio_format
from pipeline.signals.log_mel import mel_filters, transform_size
from pipeline.signals.recording import read_recording
from pipeline.signals.windows import window_starts
from pipeline.surveys.file_sample import counts_of, open_files, require_readable, spread
from pipeline.surveys.recommendation import Recommendation
from pipeline.surveys.survey import Survey

_RATES = (16_000, 32_000, 48_000)  # Hz that are tried, the first of which is enough for speech
_MIN_RATE = 1_000  # of `data.audio.rate`
_POWER = 0.99  # of a recording that must lie below half of the rate
_MOST = 90.0  # percent of the recordings for which it must
_LOWEST = 50.0  # Hz: lower edge of the bands; below, there is hum
_ONE_PIECE, _PIECE = 3.0, 2.0  # seconds of the longest recording that is one piece, and of a piece of longer ones
_SHORTEST = 0.1  # seconds of a piece
_FINE = 2.0  # seconds of a piece up to which windows start every 10 ms, and beyond every 20 ms
_BANDS = (40, 24, 12, 8, 4)  # that are tried
_WIDE_BANDS = 64  # from the second of the rates above
_SPECTRUM = 2**19  # samples of a recording whose spectrum is computed


class _RecordingFacts(NamedTuple):
    """What was found in one recording."""

    seconds: float
    rate: int
    bandwidth: float  # Hz


def survey_audio(data: DataParams, place: str, seed: int) -> Survey:
    """Inspect recordings.

    Args:
        data: The section `data`.
        place: The part of `data.source` after the colon.
        seed: Not used, since nothing is drawn.

    Raises:
        UserError: The files cannot be listed, none is readable, or the package soundfile is not installed.
    """
    listing = listing_of("audio", data, place)
    found = open_files(spread(listing.entries), _facts, "recordings")
    require_readable(found, data.source, "recording")
    facts = [each for _, each in found.read]
    settings = audio_rules(facts)
    form = audio_format(AudioParams(**{each.key.rpartition(".")[2]: each.value for each in settings}))
    pieces = [
        len(window_starts(max(form.piece, round(each.seconds * form.rate)), form.piece, form.piece)) for each in facts
    ]
    recordings = counts_of(listing, listing.entries, found.unreadable)
    each = statistics.fmean(pieces)
    *grid, channels = form.input_shape
    return Survey(
        source=data.source,
        classes=listing.classes,
        counts={split: tuple(round(count * each) for count in counts) for split, counts in recordings.items()},
        grid=tuple(grid),
        channels=channels,
        inspected=len(facts),
        kind="audio",
        inputs=("recording", "recordings") if max(pieces) == 1 else ("piece", "pieces"),
        from_files=True,
        unreadable=found.names(),
        settings=settings,
        cut=max(pieces) > 1,
        samples=None if max(pieces) == 1 else recordings,
    )


def _facts(entry: FileEntry) -> _RecordingFacts:
    found = read_recording(fetch_file(entry.path, entry.name), entry.name, None)
    return _RecordingFacts(found.length / found.rate, found.rate, bandwidth(found.samples[:_SPECTRUM], found.rate))


def bandwidth(samples: NDArray[np.float32], rate: int) -> float:
    """Frequency in Hz below which nearly all power of a recording lies; what is below the lowest band is left out."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    frequencies = np.fft.rfftfreq(len(samples), 1 / rate)
    power[frequencies < _LOWEST] = 0.0
    total = np.cumsum(power)
    return float(frequencies[np.searchsorted(total, _POWER * total[-1])]) if total[-1] > 0 else 0.0


def audio_rules(found: Sequence[_RecordingFacts]) -> tuple[Recommendation, ...]:
    """Choose all settings of `data.audio`."""
    rate, rate_reason = _rate(found)
    seconds, seconds_reason = _seconds([each.seconds for each in found])
    window_ms, hop_ms = 25.0, 10.0 if seconds <= _FINE else 20.0
    bands = _bands(rate, round(rate * window_ms / 1000))
    columns = 1 + math.floor((seconds * 1000 - window_ms) / hop_ms)
    return (
        _setting("rate", rate, rate_reason),
        _setting("seconds", seconds, seconds_reason),
        _setting("hop_seconds", None),
        _setting("window_ms", window_ms, "Usual for speech and most other sounds."),
        _setting("hop_ms", hop_ms, f"A piece has {columns} time columns."),
        _setting("bands", bands),
        _setting("low", _LOWEST),
        _setting("high", None),
        _setting("floor_db", -80.0),
    )


def _setting(key: str, value: Any, reason: str = "") -> Recommendation:
    return Recommendation(f"data.audio.{key}", value, reason)


def _rate(found: Sequence[_RecordingFacts]) -> tuple[int, str]:
    """The lowest of some rates that keeps what most recordings contain, but no higher than that of most files."""
    stored = Counter(each.rate for each in found)
    usual = stored.most_common(1)[0][0]
    needed = float(np.percentile([each.bandwidth for each in found], _MOST))
    rate = max(_MIN_RATE, min(usual, next((each for each in _RATES if each / 2 >= needed), _RATES[-1])))
    files = f"All {len(found):,} inspected recordings have" if len(stored) == 1 else "Most inspected recordings have"
    return rate, (
        f"{files} {usual:,} Hz. In {_MOST:.0f}% of them, {_POWER:.0%} of the power is below {needed:,.0f} Hz; half of "
        "the rate is the highest frequency that is kept."
    )


def _seconds(lengths: Sequence[float]) -> tuple[float, str]:
    longest, median = max(lengths), statistics.median(lengths)
    shown = f"The inspected recordings have {min(lengths):.2g} to {longest:.2g} s, with a median of {median:.2g} s"
    if longest <= _ONE_PIECE:
        return max(_SHORTEST, math.ceil(10 * longest) / 10), f"{shown}; the longest one is one piece."
    return _PIECE, f"{shown}. They are cut into pieces; increase them if what distinguishes the classes takes longer."


def _bands(rate: int, window: int) -> int:
    """Number of bands, fewer if they would be narrower than the resolution of the spectrum."""
    for bands in (_WIDE_BANDS, *_BANDS) if rate >= _RATES[1] else _BANDS:
        try:
            mel_filters(rate, transform_size(window), bands, _LOWEST, rate / 2)
        except UserError:
            continue
        return bands
    return _BANDS[-1]
