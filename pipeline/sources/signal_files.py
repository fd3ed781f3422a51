"""Read files of series or recordings."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median_low
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.decoding.decode import Decoded
from pipeline.decoding.read_files import ReadFiles, read_files
from pipeline.errors import UserError, plural, shown_first
from pipeline.listing.entry import FileEntry, Listing
from pipeline.listing.manifest import SUFFIXES as MANIFESTS
from pipeline.params.base import Section
from pipeline.sections import DataParams
from pipeline.signals.csv_series import read_csv_series
from pipeline.signals.formats import audio_format, series_format
from pipeline.signals.missing import equal_steps
from pipeline.signals.parts import recording_parts, series_parts
from pipeline.signals.recording import read_recording, to_words
from pipeline.signals.series_input import complete, time_step
from pipeline.signals.window_rows import LongSample
from pipeline.sources.source import Source


class _SeriesSettings(Section):
    """What determines the values of a series that was read from a CSV file."""

    rate: float | None
    time_column: str | None
    missing: str


class _RecordingSettings(Section):
    """What determines the values of a recording that was read from a file."""

    rate: int


def read_series_files(listing: Listing, params: DataParams, decoded: Path) -> Source:
    """Read CSV files, each of which is a series.

    Args:
        listing: The files.
        params: The section `data`.
        decoded: Folder of decoded files.

    Raises:
        UserError: A file cannot be used, or the series do not fit each other or `data.series`.
    """
    where, series = listing.where, params.series
    if series.split_by == "group":
        listing = _grouped(listing)
    if series.split_by == "time" and len(listing.splits) > 1:
        table = where.lower().endswith(MANIFESTS)
        remedy = "remove the column split" if table else "move the classes out of these folders"
        raise UserError(
            f"{where}: must not declare splits to be divided in time, got {', '.join(listing.splits)}; set "
            f"data.series.split_by: random, or {remedy}"
        )
    settings = _SeriesSettings(rate=series.rate, time_column=series.time_column, missing=series.missing)
    decode = partial(decode_series, rate=series.rate, time_column=series.time_column, missing=series.missing)
    found = read_files(
        listing, decode, [settings], decoded, params.on_unreadable, "reading series",
    )  # fmt: skip
    channels, names = _require_equal_channels(found)
    step = _require_equal_steps(found) if series.rate is None else None
    samples = _long_samples(found)
    lengths = [sample.length for sample in samples if sample.split == "train"]
    form = series_format(series, lengths, channels, where, names, step)
    in_time = (params.val_fraction, params.test_fraction) if series.split_by == "time" else None
    windows = series_parts(samples, _reader(found), form, in_time, where)
    return Source(
        listing.name,
        listing.classes,
        windows.parts,
        skipped=found.skipped,
        files=found.records(listing.classes),
        links=listing.links,
        names=windows.names,
        groups=windows.groups if form.hop is not None or any(entry.group for entry in found.entries) else {},
        weights=windows.weights,
        input_format=form,
        kind="series",
    )


def decode_series(content: bytes, name: str, rate: float | None, time_column: str | None, missing: str) -> Decoded:
    """Decode the content of a CSV file into one series (1, time, channels) without gaps."""
    series = read_csv_series(content, name, time_column)
    values = complete(series, rate, missing, name)
    converted = ["missing values interpolated"] if np.isnan(series.values).any() else []
    if rate is None and len(values) != len(series.values):
        converted.append("missing time steps interpolated")
    if rate is not None and len(values) != len(series.values):
        converted.append(f"resampled to {rate:g} Hz")
    count = series.values.shape[1]
    facts = {
        "channels": list(series.channels),
        "step": time_step(series),
        "size": [len(series.values)],
        "mode": f"{count} {plural(count, 'channel')}",
        "format": "CSV",
        "converted": converted,
    }
    return Decoded(values[np.newaxis], facts)


def _require_equal_channels(found: ReadFiles) -> tuple[int, tuple[str, ...]]:
    """The number and names of the channels, which must be the same in all files, in the same order.

    Files without names fit those with names.
    """
    files = [
        (found.store.found[digest].shape[-1], list(facts["channels"]), entry.name)
        for entry, digest, facts in zip(found.entries, found.digests, found.facts, strict=True)
    ]
    first = files[0]  # with names, if a file has them
    for count, names, name in files:
        if count != first[0] or (names and first[1] and names != first[1]):
            raise UserError(
                f"{found.listing.where}: all series must have the same columns in the same order, got "
                f"{_columns(count, names)} in {name} and {_columns(*first[:2])} in {first[2]}; correct the files"
            )
        if names and not first[1]:
            first = (count, names, name)
    return first[0], tuple(first[1])


def _columns(count: int, names: list[str]) -> str:
    return f"{count} ({shown_first(names)})" if names else str(count)


def _require_equal_steps(found: ReadFiles) -> float | None:
    """The median time step of the files, which must all have about the same one; None: no file has time stamps."""
    every = {entry.name: facts["step"] for entry, facts in zip(found.entries, found.facts, strict=True)}
    steps = {name: step for name, step in every.items() if step is not None}
    if not steps:
        return None
    if len(steps) < len(every):
        without, given = next(name for name in every if name not in steps), next(iter(steps))
        raise UserError(
            f"{found.listing.where}: all series or none must have time stamps if data.series.rate is null, got "
            f"{len(every) - len(steps)} without, such as {without}, and {len(steps)} with, such as {given}; "
            "add a column time, or remove it from all files"
        )
    middle = float(median_low(steps.values()))
    for name, step in steps.items():
        if not equal_steps(step, middle):
            other = next(each for each, its in steps.items() if its == middle)
            raise UserError(
                f"{found.listing.where}: all series must have about the same time step if data.series.rate is null, "
                f"got {step:g} s in {name} and {middle:g} s in {other}; set data.series.rate, a sampling rate in Hz to "
                "which all series are resampled"
            )
    return middle


def read_audio_files(listing: Listing, params: DataParams, decoded: Path) -> Source:
    """Read recordings.

    Args:
        listing: The files.
        params: The section `data`.
        decoded: Folder of decoded files.

    Raises:
        UserError: A file cannot be used, or the package soundfile is not installed.
    """
    where, form = listing.where, audio_format(params.audio)
    found = read_files(
        listing, partial(decode_recording, rate=form.rate),
        [_RecordingSettings(rate=form.rate)], decoded, params.on_unreadable, "reading recordings",
    )  # fmt: skip
    pieces, recordings = recording_parts(_long_samples(found), _reader(found), form, where)
    return Source(
        listing.name,
        listing.classes,
        pieces.parts,
        skipped=found.skipped,
        files=found.records(listing.classes),
        links=listing.links,
        names=pieces.names,
        groups=pieces.groups,
        weights=pieces.weights,
        input_format=form,
        kind="audio",
        recordings=recordings,
    )


def decode_recording(content: bytes, name: str, rate: int) -> Decoded:
    """Decode the content of an audio file into one recording (1, samples) of 16 bits."""
    found = read_recording(content, name, rate)
    channels = "mono" if found.channels == 1 else f"{found.channels} channels"
    converted = [f"{channels} averaged"] if found.channels > 1 else []
    if found.rate != rate:
        converted.append(f"{found.rate} Hz to {rate} Hz")
    if found.clipped:
        converted.append("clipped")
    facts = {
        "size": [found.length],
        "mode": f"{channels}, {found.rate} Hz",
        "format": found.file_format,
        "converted": converted,
    }
    return Decoded(to_words(found.samples)[np.newaxis], facts)


def _grouped(listing: Listing) -> Listing:
    """Without declared groups, the first folder below that of the class is the group of a file."""
    entries: list[FileEntry] = []
    for entry in listing.entries:
        inside = entry.below_class()
        if not entry.group and len(inside) < 2:
            raise UserError(
                f"{listing.where}: {entry.name}: must lie in a folder of its group below that of the class "
                "(data.series.split_by: group); move it, or set data.series.split_by: random"
            )
        entries.append(entry if entry.group else entry._replace(group=inside[0]))
    return replace(listing, entries=tuple(entries))


def _long_samples(found: ReadFiles) -> list[LongSample]:
    return [
        LongSample(
            entry.split,
            entry.label,
            entry.name,
            entry.group or f"file {entry.name}",
            found.store.found[each].shape[1],
            entry.weight,
        )
        for entry, each in zip(found.entries, found.digests, strict=True)
    ]


def _reader(found: ReadFiles) -> Callable[[int], NDArray[Any]]:
    """Function from the number of a file to its values (time, ...)."""
    files = found.store.files(found.digests)
    return lambda number: files[number][0]
