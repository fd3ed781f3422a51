"""Read the `.ts` files of the time-series archives as a source."""

from pathlib import Path

from pipeline.errors import UserError, shown_first
from pipeline.images.file_names import printable
from pipeline.sections import DataParams
from pipeline.signals.formats import series_format
from pipeline.signals.missing import filled
from pipeline.signals.parts import series_parts
from pipeline.signals.ts_file import TsFile, read_ts
from pipeline.signals.window_rows import LongSample
from pipeline.sources.source import Source

_SPLITS = ("train", "val", "test")


def read_ts_source(path: Path, params: DataParams) -> Source:
    """Read a `.ts` file. With NAME_TRAIN.ts, or a folder that contains it, NAME_VAL.ts and NAME_TEST.ts are splits.

    Args:
        path: The file or the folder.
        params: The section `data`.

    Raises:
        UserError: The files are missing or damaged, do not fit each other, contain missing or infinite values, or do
            not fit `data.series`.
    """
    where = f"data.source: ts:{path}"
    series = params.series
    if series.rate is not None or series.split_by == "group":
        key = "rate: null" if series.rate is not None else "split_by: random or time"
        raise UserError(
            f"{where}: .ts files contain neither time stamps nor groups; set data.series.{key}, or write CSV files and "
            "use data.source: series:FOLDER"
        )
    files = read_ts_files(path, where)
    train = files["train"]
    samples, values = [], []
    for split, file in files.items():
        for case, label, line in zip(file.cases, file.labels.tolist(), file.lines, strict=True):
            name = f"line {line}"
            values.append(filled(case, series.missing, f"{where}: {split}: {name}"))
            samples.append(
                LongSample(split, train.classes.index(file.classes[label]), name, f"{split}: {name}", len(case))
            )
    lengths = [sample.length for sample in samples if sample.split == "train"]
    form = series_format(series, lengths, train.cases[0].shape[1], where)
    in_time = (params.val_fraction, params.test_fraction) if series.split_by == "time" else None
    if in_time is not None and len(files) > 1:
        raise UserError(
            f"{where}: must be one file to be divided in time, got files of {', '.join(files)}; set "
            "data.series.split_by: random, or pass one of the files"
        )
    found = series_parts(samples, values.__getitem__, form, in_time, where)
    return Source(
        printable(train.name or path.stem),
        tuple(printable(name) for name in train.classes),
        found.parts,
        names=found.names,
        groups={} if form.hop is None else found.groups,
        input_format=form,
        kind="series",
    )


def read_ts_files(path: Path, where: str) -> dict[str, TsFile]:
    """Read the files of a source, by split; see `read_ts_source`.

    Args:
        path: The file or the folder.
        where: The source, in messages.

    Raises:
        UserError: The files are missing or damaged, or do not fit each other.
    """
    files = {split: read_ts(file) for split, file in _files(path, where).items()}
    _require_equal(files, where)
    return files


def _files(path: Path, where: str) -> dict[str, Path]:
    """The files by split: of a folder, of NAME_TRAIN.ts and the files next to it, or of another file: only `train`."""
    if not path.is_dir():
        name = path.name.lower()
        if not name.endswith("_train.ts") or not path.is_file():
            return {"train": path}
        prefix = name.removesuffix("train.ts")
        beside = {file.name.lower(): file for file in path.parent.iterdir()}
        others = {split: beside[f"{prefix}{split}.ts"] for split in _SPLITS[1:] if f"{prefix}{split}.ts" in beside}
        return {"train": path, **others}
    found = {
        split: sorted(file for file in path.iterdir() if file.name.lower().endswith(f"_{split}.ts"))
        for split in _SPLITS
    }
    for split, files in found.items():
        if len(files) > 1:
            names = [printable(file.name) for file in files]
            raise UserError(
                f"{where}: must contain one file that ends in _{split.upper()}.ts, got {shown_first(names)}; pass the "
                "path of one _TRAIN.ts file, to which the others of the same name belong"
            )
    if not found["train"]:
        raise UserError(f"{where}: must contain a file that ends in _TRAIN.ts, got none; pass the path of a .ts file")
    return {split: files[0] for split, files in found.items() if files}


def _require_equal(files: dict[str, TsFile], where: str) -> None:
    """Raise an error for splits with other classes or channels than those of the training split."""
    train = files["train"]
    for split, file in files.items():
        if set(file.classes) != set(train.classes):
            raise UserError(
                f"{where}: all files must have the same classes, got {shown_first(file.classes)} in {split} and "
                f"{shown_first(train.classes)} in train; correct @classLabel"
            )
        if file.cases[0].shape[1] != train.cases[0].shape[1]:
            raise UserError(
                f"{where}: all files must have the same channels, got {file.cases[0].shape[1]} in {split} and "
                f"{train.cases[0].shape[1]} in train; replace one of the files"
            )
