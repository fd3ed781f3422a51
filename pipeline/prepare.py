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
    import numpy as np

    from pipeline.data.dataset import Dataset, write_dataset
    from pipeline.data.split import make_split, write_split
    from pipeline.errors import shown_first
    from pipeline.plots.dataset import draw_class_balance, draw_contact_sheet
    from pipeline.sources.checks import check_source, count_duplicates
    from pipeline.sources.contrast import check_contrast, contrast_warnings, find_value_range
    from pipeline.sources.loaders import load
    from pipeline.sources.stratified_split import split_source

    data = params.data
    _warn_if_untracked(data.source)
    source = load(data, params.seed)
    check_source(source)
    shares = split_source(source, data, params.seed)
    parts = {name: share.part for name, share in shares.items()}
    check_contrast(source, parts)
    from_files = data.source.startswith("images:")
    value_range = find_value_range(source.name, parts, from_files, data.value_range)
    splits = [make_split(name, *parts[name], shares[name].names) for name in ("train", "val", "test")]
    pixels = parts["train"][0]
    axes = tuple(range(pixels.ndim - 1))
    dataset = Dataset(
        name=source.name,
        input_shape=tuple(pixels.shape[1:]),
        dtype=str(pixels.dtype),
        classes=source.classes,
        counts={
            split.name: {name: int((split.labels == label).sum()) for label, name in enumerate(source.classes)}
            for split in splits
        },
        mean=tuple(float(value) for value in pixels.mean(axis=axes, dtype=np.float64)),
        std=tuple(float(value) for value in pixels.std(axis=axes, dtype=np.float64)),
        digests={split.name: split.digest for split in splits},
        duplicates=count_duplicates(parts),
        own_val="val" in source.parts,
        skipped=source.skipped,
        value_range=value_range,
    )
    with new_folder(paths.prepared) as written, new_folder(paths.reports) as pictures:
        for split in splits:
            write_split(split, written / split.name)
        write_dataset(dataset, written / "dataset.json")
        draw_contact_sheet(parts["train"], source.classes, pictures / "contact_sheet.png")
        draw_class_balance(dataset.counts, pictures / "class_balance.png")
    _print_summary(dataset)
    for line in contrast_warnings(source, parts, value_range, from_files):
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
