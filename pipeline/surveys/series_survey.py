"""Inspect time series in CSV and `.ts` files, for the rules of `init`."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.decoding.decode import fetch_file
from pipeline.images.file_names import existing, printable
from pipeline.listing.entry import FileEntry, Listing
from pipeline.loaders.table import listing_of
from pipeline.sections import DataParams
from pipeline.signals.csv_series import read_csv_series
from pipeline.signals.missing import regular
from pipeline.sources.ts import read_ts_files
from pipeline.surveys.file_sample import counts_of, open_files, require_readable, spread
from pipeline.surveys.series_rules import SeriesFacts, SeriesRules, series_rules
from pipeline.surveys.survey import Survey

_MIN_GROUPS = 3  # of each class: one for each split
_Counts = Mapping[str, tuple[int, ...]]


def survey_series(data: DataParams, place: str, seed: int) -> Survey:
    """Inspect CSV files, each of which is a series.

    Args:
        data: The section `data`; its `time_column` is kept.
        place: The part of `data.source` after the colon.
        seed: Not used, since nothing is drawn.

    Raises:
        UserError: The files cannot be listed, or none is readable.
    """
    listing = listing_of("series", data, place)
    chosen = spread(listing.entries)
    found = open_files(chosen, partial(_facts, time_column=data.series.time_column), "series")
    require_readable(found, data.source, "series")
    files = counts_of(listing, listing.entries, found.unreadable)
    rules = series_rules(
        [facts for _, facts in found.read],
        every=len(chosen) == len(listing.entries),
        grouped="val" not in listing.splits and _grouped(listing),
        fewest=min(files["train"]),
        dividable=listing.splits == ("train",),
    )
    channels = found.read[0][1].channels
    return _survey(data.source, listing.classes, files, rules, channels, len(found.read), found.names())


def survey_ts(data: DataParams, place: str, seed: int) -> Survey:
    """Inspect `.ts` files; see `survey_series`."""
    files = read_ts_files(existing(Path(place)), f"data.source: {data.source}")
    train = files["train"]
    facts = [
        SeriesFacts(len(case), case.shape[1], bool(np.isnan(case).any()), split=split)
        for split, file in files.items()
        for case in file.cases
    ]
    counts = {
        split: tuple(sum(file.classes[label] == name for label in file.labels.tolist()) for name in train.classes)
        for split, file in files.items()
    }
    rules = series_rules(facts, every=True, grouped=False, fewest=min(counts["train"]), dividable=len(files) == 1)
    classes = tuple(printable(name) for name in train.classes)
    return _survey(data.source, classes, counts, rules, facts[0].channels, len(facts), ())


def _survey(
    source: str,
    classes: tuple[str, ...],
    series: _Counts,
    rules: SeriesRules,
    channels: int,
    inspected: int,
    unreadable: tuple[str, ...],
) -> Survey:
    each = rules.inputs_per_series()
    counts = {split: tuple(round(count * each) for count in of_split) for split, of_split in series.items()}
    return Survey(
        source=source,
        classes=classes,
        counts=counts,
        grid=(rules.window,),
        channels=channels,
        inspected=inspected,
        kind="series",
        inputs=("series", "series") if rules.hop is None else ("window", "windows"),
        from_files=True,
        unreadable=unreadable,
        settings=rules.settings,
        cut=rules.hop is not None,
        samples=None if rules.hop is None or rules.in_time else series,
    )


def _facts(entry: FileEntry, time_column: str | None) -> SeriesFacts:
    """Read a file. Missing time steps count as time steps."""
    series = read_csv_series(fetch_file(entry.path, entry.name), entry.name, time_column)
    length, channels = series.values.shape
    incomplete, rate = bool(np.isnan(series.values).any()), None
    if series.times is not None:
        values, rate = regular(series.values, series.times, "interpolate", entry.name)
        incomplete, length = incomplete or len(values) != length, len(values)
    return SeriesFacts(length, channels, incomplete, rate, entry.split)


def _grouped(listing: Listing) -> bool:
    """Whether each file has a declared group, or lies in a folder of its group below that of the class.

    There must be enough groups for all splits, and fewer than files.
    """
    groups: Sequence[set[str]] = [set() for _ in listing.classes]
    for entry in listing.entries:
        parts = entry.below_class()
        if not entry.group and len(parts) < 2:
            return False
        groups[entry.label].add(entry.group or parts[0])
    different = len(set().union(*groups))
    return min(map(len, groups)) >= _MIN_GROUPS and different < len(listing.entries)
