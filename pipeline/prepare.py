"""The stage `prepare`: load the source, check it, split it and describe it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.arguments import params_and_paths, stage_parser
from pipeline.errors import plural
from pipeline.files import new_folder
from pipeline.terminal.console import run_main, say

if TYPE_CHECKING:
    from pipeline.data.dataset import Dataset
    from pipeline.sections import Params

WATCHED = Path("data/raw")
_AGAIN = "run dvc repro --force prepare"


@dataclass(frozen=True)
class Paths:
    """Output paths of the stage.

    Attributes:
        prepared: Folder of dataset.json and the splits; replaced as a whole.
        reports: Folder of the pictures; replaced as a whole.
    """

    prepared: Path = Path("data/prepared")
    reports: Path = Path("reports/prepare")


def run(params: "Params", paths: Paths = Paths()) -> None:
    """Write the three splits, dataset.json and two pictures. After an error, nothing is written.

    Args:
        params: The section `data` and the seed.
        paths: Output paths.

    Raises:
        UserError: The source cannot be read, or violates a rule.
    """
    from pipeline.data.dataset import Dataset, write_dataset
    from pipeline.data.split import SplitName, stream_recordings, stream_split
    from pipeline.data.statistics import SplitStatistics, count_duplicates
    from pipeline.errors import shown_first
    from pipeline.plots.dataset import draw_class_balance, draw_contact_sheet
    from pipeline.sources.checks import check_finite, check_source
    from pipeline.sources.contrast import check_contrast, contrast_warnings, find_value_range
    from pipeline.sources.loaders import load
    from pipeline.sources.stratified_split import split_source

    data = params.data
    _warn_if_untracked(data.source)
    source = load(data, params.seed, paths.prepared.parent / "decoded")
    check_source(source)
    shares = split_source(source, data, params.seed)
    from_files = data.source.startswith("images:")
    images = source.parts["train"][0]
    names: tuple[SplitName, ...] = ("train", "val", "test")
    found: dict[str, SplitStatistics] = {name: SplitStatistics() for name in names}
    with new_folder(paths.prepared) as written, new_folder(paths.reports) as pictures:
        digests: dict[str, str] = {}
        for name in names:
            share = shares[name]
            digests[name] = stream_split(
                name, *share.part, share.names, written / name, found[name].update, share.groups
            )
            if name == "test" and share.recordings is not None:
                stream_recordings(share.recordings, written / name)
            check_finite(source.name, name, share.names, found[name].not_finite)
        check_contrast(source, found)
        value_range = find_value_range(source.name, found, str(images.dtype) == "uint8", from_files, data.value_range)
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
        draw_contact_sheet(shares["train"].part, source.classes, pictures / "contact_sheet.png")
        draw_class_balance(dataset.counts, pictures / "class_balance.png")
    _print_summary(dataset)
    for line in contrast_warnings(source, found, value_range, from_files):
        say(f"prepare: {line}")
    if source.links:
        shown = shown_first(source.links)
        say(f"prepare: DVC does not detect changes in linked folders ({shown}); after a change, {_AGAIN}")


def _print_summary(dataset: "Dataset") -> None:
    sizes = ", ".join(f"{split} {sum(of_class.values()):,}" for split, of_class in dataset.counts.items())
    shape = "×".join(str(extent) for extent in dataset.input_shape)
    say(f"prepare: {dataset.name}: {len(dataset.classes)} classes, images of {shape}; {sizes}")
    for pair, count in dataset.duplicates.items():
        if count:
            say(f"prepare: identical images in both {pair}: {count}; they are kept, see dataset.json")
    if dataset.skipped:
        many = len(dataset.skipped)
        say(f"prepare: skipped {many} unreadable {plural(many, 'file')}:")
        for name in dataset.skipped:
            say(f"  {name}")


def _warn_if_untracked(source: str) -> None:
    from pipeline.images.file_names import printable
    from pipeline.sections.data import SOURCES

    kind, _, place = source.partition(":")
    if SOURCES[kind] in ("FOLDER", "FILE") and not Path(place).resolve().is_relative_to(WATCHED.resolve()):
        say(f"prepare: DVC does not detect changes in {printable(place)}; after a change, {_AGAIN}")


def main(prog: str = "python -m pipeline.prepare") -> None:
    """Run the stage with the params file and the paths given on the command line."""
    run(*params_and_paths(stage_parser(prog, __doc__, Paths()).parse_args(), Paths()))


if __name__ == "__main__":
    run_main(main)
