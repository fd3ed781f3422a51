"""The stage `prepare`: load the source, check it, split it and describe it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import listed_first, plural
from pipeline.files import new_folder
from pipeline.terminal.arguments import params_and_paths, stage_parser
from pipeline.terminal.console import run_main, say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.checks.collect import Collected, Collector
    from pipeline.checks.findings import Finding
    from pipeline.data.dataset import Dataset
    from pipeline.data.split import SplitName
    from pipeline.data.statistics import SplitStatistics
    from pipeline.sections import Params
    from pipeline.sections.data import FindingId
    from pipeline.sources.source import Source
    from pipeline.sources.stratified_split import Share

WATCHED = Path("data/raw")
_AGAIN = "run dvc repro --force prepare"


@dataclass(frozen=True)
class Paths:
    """Output paths of the stage.

    Attributes:
        prepared: Folder of dataset.json and the splits; replaced as a whole.
        reports: Folder of the page with the checks; replaced as a whole.
    """

    prepared: Path = Path("data/prepared")
    reports: Path = Path("reports/prepare")


def run(params: "Params", paths: Paths = Paths()) -> None:
    """Write the three splits, dataset.json and the page with the checks. After an error, nothing is written.

    Args:
        params: The section `data` and the seed.
        paths: Output paths.

    Raises:
        UserError: The source cannot be read, or violates a rule.
    """
    from pipeline.checks.collect import Collector
    from pipeline.data.dataset import Dataset, write_dataset
    from pipeline.data.input_format import ImageFormat
    from pipeline.data.split import SplitName, stream_recordings, stream_split
    from pipeline.data.statistics import SplitStatistics, count_duplicates
    from pipeline.errors import shown_first
    from pipeline.loaders.table import load
    from pipeline.sources.checks import check_finite, check_source
    from pipeline.sources.contrast import check_contrast, contrast_warnings, find_value_range
    from pipeline.sources.stratified_split import split_source

    data = params.data
    _warn_if_untracked(data.source)
    source = load(data, params.seed, paths.prepared.parent / "decoded")
    check_source(source)
    shares = split_source(source, data, params.seed)
    from_files = isinstance(source.input_format, ImageFormat)
    images = source.parts["train"][0]
    names: tuple[SplitName, ...] = ("train", "val", "test")
    found: dict[str, SplitStatistics] = {name: SplitStatistics() for name in names}
    collector = Collector(tuple(images.shape[1:]))
    with new_folder(paths.prepared) as written, new_folder(paths.reports) as reports:
        digests: dict[str, str] = {}
        for name in names:
            share = shares[name]
            see = _observer(name, share.labels, found[name], collector)
            weights = None if name == "test" else share.weights  # no stage trains on the test split
            digests[name] = stream_split(name, *share.part, share.names, written / name, see, share.groups, weights)
            if name == "test" and share.recordings is not None:
                stream_recordings(share.recordings, written / name)
            check_finite(source.name, name, share.names, found[name].not_finite)
        check_contrast(source, found)
        value_range = find_value_range(source, found, str(images.dtype) == "uint8", from_files, data.value_range)
        dataset = Dataset(
            name=source.name,
            kind=source.kind,
            input_shape=tuple(images.shape[1:]),
            dtype=str(images.dtype),
            classes=source.classes,
            counts={
                name: {of: int((share.labels == label).sum()) for label, of in enumerate(source.classes)}
                for name, share in shares.items()
            },
            mean=found["train"].mean,
            std=found["train"].std,
            digests=digests,
            duplicates=count_duplicates(found),
            own_val="val" in source.parts,
            skipped=source.skipped,
            value_range=value_range,
            input_format=source.input_format,
        )
        write_dataset(dataset, written / "dataset.json")
        checked = _check(
            source, {name: shares[name] for name in names}, collector.result(), written, reports, data.strict,
            (0.0, 255.0) if str(images.dtype) == "uint8" else (found["train"].least, found["train"].greatest),
        )  # fmt: skip
    _print_summary(dataset, paths.reports / "files.csv")
    for finding in checked:
        if finding.id != "unreadable":  # the files were listed above
            say(f"prepare: {finding.summary}")
    if checked:
        say(f"prepare: {paths.reports / 'index.html'} shows what was found")
    for line in contrast_warnings(source, found, value_range, from_files):
        say(f"prepare: {line}")
    if links := [each for each in source.links if not _is_watched(each)]:
        say(f"prepare: DVC does not detect changes in linked folders ({shown_first(links)}); after a change, {_AGAIN}")


def _observer(
    split: "SplitName", labels: "NDArray[np.int64]", statistics: "SplitStatistics", collector: "Collector"
) -> "Callable[[NDArray[Any]], None]":
    """Return a function that passes each block of a split to the statistics and to the checks."""
    from pipeline.data.statistics import HASH

    def see(samples: "NDArray[Any]") -> None:
        start = statistics.count
        statistics.update(samples)
        collector.add(split, samples, labels[start : start + len(samples)], statistics.hashes[HASH * start :])

    return see


def _check(
    source: "Source",
    shares: "Mapping[SplitName, Share]",
    collected: "Collected",
    prepared: Path,
    reports: Path,
    strict: "Sequence[FindingId]",
    bounds: tuple[float, float],
) -> "tuple[Finding, ...]":
    """Write the results of the checks and their page, and return the findings.

    Raises:
        UserError: There are findings that `data.strict` names.
    """
    import numpy as np

    from pipeline.checks.files import summarize_files, with_split, write_files
    from pipeline.checks.findings import check_strict, findings
    from pipeline.checks.measurements import DatasetFacts, measure
    from pipeline.checks.tables import write_tables
    from pipeline.data.rows import BLOCK
    from pipeline.data_report.page import write_page
    from pipeline.data_report.pictures import Samples

    names = {split: share.names for split, share in shares.items()}
    groups = {split: share.groups for split, share in shares.items()}
    files = with_split(source.files, names) if source.files else []
    summary = summarize_files(files) if files else None
    facts = DatasetFacts(source.classes, names, groups, summary, shares["train"].weights)
    mapped = {split: np.load(prepared / split / "images.npy", mmap_mode="r") for split in shares}

    def read(split: "SplitName", chosen: "NDArray[np.int64]") -> "NDArray[Any]":
        return np.asarray(mapped[split][chosen])

    step = max(1, min(512, BLOCK // max(1, mapped["train"][:1].nbytes)))  # samples in memory
    measured = measure(collected, facts, read, step)
    found = findings(measured)
    check_strict(found, strict)
    write_tables(measured, found, reports)
    if files:
        write_files(files, reports / "files.csv")
    write_page(source.name, measured, found, Samples(read, bounds, source.kind), reports)
    return found


def _print_summary(dataset: "Dataset", files: Path) -> None:
    from pipeline.data.kind import KINDS

    sizes = ", ".join(f"{split} {sum(of_class.values()):,}" for split, of_class in dataset.counts.items())
    shape, samples = "×".join(str(extent) for extent in dataset.input_shape), KINDS[dataset.kind].many
    say(f"prepare: {dataset.name}: {len(dataset.classes)} classes, {samples} of {shape}; {sizes}")
    if dataset.skipped:
        many = len(dataset.skipped)
        say(f"prepare: skipped {many:,} unreadable {plural(many, 'file')}, see {files}:")
        say(listed_first(dataset.skipped))


def _warn_if_untracked(source: str) -> None:
    from pipeline.images.file_names import printable
    from pipeline.sections.data import SOURCES

    kind, _, place = source.partition(":")
    places = [place] if Path(place).exists() else place.split(",")
    outside = [each for each in places if not _is_watched(each)]
    if SOURCES[kind] in ("FOLDER", "FILE", "PATH") and outside:
        say(f"prepare: DVC does not detect changes in {printable(', '.join(outside))}; after a change, {_AGAIN}")


def _is_watched(place: str) -> bool:
    return Path(place).resolve().is_relative_to(WATCHED.resolve())


def main(prog: str = "python -m pipeline.prepare") -> None:
    """Run the stage with the params file and the paths given on the command line."""
    run(*params_and_paths(stage_parser(prog, __doc__, Paths()).parse_args(), Paths()))


if __name__ == "__main__":
    run_main(main)
