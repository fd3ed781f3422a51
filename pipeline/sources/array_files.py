"""Read named arrays: from an .npz file, a folder of .npy files, an HDF5 file or a Zarr group."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays.axes import Channels, DeclaredKind
from pipeline.arrays.file_rows import FileRows, open_npy
from pipeline.arrays.hdf5 import Hdf5Arrays
from pipeline.arrays.npz import NpzArrays
from pipeline.arrays.size import NUMBERS, TEXT
from pipeline.arrays.zarr_store import ZarrArrays
from pipeline.data.rows import Rows
from pipeline.errors import UserError, shown_first
from pipeline.images.file_names import printable
from pipeline.sources.source import Source, numbered

_SPLITS = ("train", "val", "test")
# Names of the samples and of their labels. The first form is documented; the second is that of MedMNIST.
_NAMES = {
    split: ((f"x_{split}", f"y_{split}"), (f"{split}_images", f"{split}_labels"))
    + ((("images", "labels"),) if split == "train" else ())
    for split in _SPLITS
}


class NamedArrays(Protocol):
    """Arrays by name, which are read on demand."""

    names: tuple[str, ...]

    def array(self, name: str) -> Rows:
        """The rows of an array."""


def read_npz(path: Path, channels: Channels, kind: DeclaredKind) -> Source:
    """Read the arrays of an .npz file; see `read_arrays`."""
    return read_arrays(*open_arrays("npz", path), path.stem, channels, kind)


def read_npy_folder(folder: Path, channels: Channels, kind: DeclaredKind) -> Source:
    """Read a folder of .npy files, each of which is an array with the name of the file; see `read_arrays`."""
    return read_arrays(*open_arrays("npy", folder), folder.resolve().name, channels, kind)


def read_hdf5(path: Path, channels: Channels, kind: DeclaredKind) -> Source:
    """Read the datasets of an HDF5 file; see `read_arrays`."""
    return read_arrays(*open_arrays("hdf5", path), path.stem, channels, kind)


def read_zarr(folder: Path, channels: Channels, kind: DeclaredKind) -> Source:
    """Read the arrays of a Zarr group; see `read_arrays`."""
    return read_arrays(*open_arrays("zarr", folder), folder.resolve().stem, channels, kind)


class _NpyArrays:
    """The arrays of a folder of .npy files."""

    def __init__(self, folder: Path, where: str) -> None:
        if not folder.is_dir():
            raise UserError(f"{where}: no such folder; pass a folder with x_train.npy and y_train.npy")
        self._folder, self._where = folder, where
        self.names = tuple(sorted(path.stem for path in folder.glob("*.npy")))

    def array(self, name: str) -> FileRows:
        return open_npy(self._folder / f"{name}.npy", f"{self._where}: {name}.npy")


_OPENERS: Mapping[str, Callable[[Path, str], NamedArrays]] = {
    "npz": NpzArrays,
    "npy": _NpyArrays,
    "hdf5": Hdf5Arrays,
    "zarr": ZarrArrays,
}


def open_arrays(kind: str, path: Path) -> tuple[NamedArrays, str]:
    """Open a source of arrays; return them, and the start of error messages.

    Args:
        kind: Kind of the source: npz, npy, hdf5 or zarr.
        path: The file or folder.

    Raises:
        UserError: It is missing or damaged.
    """
    where = f"data.source: {kind}:{printable(str(path))}"
    return _OPENERS[kind](path, where), where


def training_samples(kind: str, path: Path) -> Rows:
    """Return the training samples of a source of arrays, as they are stored.

    Raises:
        UserError: The source is missing or damaged, or has no training samples.
    """
    arrays, where = open_arrays(kind, path)
    return arrays.array(_required(_pair(arrays.names, "train", where), arrays, where)[0])


def read_arrays(arrays: NamedArrays, where: str, name: str, channels: Channels, kind: DeclaredKind = "auto") -> Source:
    """Read x_train and y_train, and optionally x_val, y_val, x_test, y_test and the names of the `classes`.

    MedMNIST's names (train_images, train_labels) and, without splits, images and labels are also accepted. Labels are
    numbers, or names of classes.

    Args:
        arrays: The arrays. Only the labels are read.
        where: Start of error messages.
        name: Name of the source.
        channels: Axis of the samples that contains the channels.
        kind: What the samples are.

    Raises:
        UserError: An array is missing or damaged, or labels are not one number or name per sample.
    """
    parts = {}
    pairs = {split: _pair(arrays.names, split, where) for split in _SPLITS}
    for split, pair in pairs.items():
        if pair is not None:
            samples = arrays.array(pair[0])
            if samples.dtype.kind not in NUMBERS or len(samples.shape) < 2:
                raise UserError(
                    f"{where}: {pair[0]} must contain numbers, one row per sample, got {samples.dtype} of shape "
                    f"{samples.shape}; save the samples as one array of numbers"
                )
            parts[split] = (samples, _labels(arrays.array(pair[1]), len(samples), where, *pair))
    _required(pairs["train"], arrays, where)
    classes = _classes(arrays, where)
    if any(labels.dtype.kind in TEXT for _, labels in parts.values()):
        classes, indices = _numbered_names({split: labels for split, (_, labels) in parts.items()}, classes, where)
        parts = {split: (samples, indices[split]) for split, (samples, _) in parts.items()}
    return numbered(printable(name), parts, classes, channels, kind)


def _pair(names: Sequence[str], split: str, where: str) -> tuple[str, str] | None:
    """Names of the samples and labels of a split; None if there are none."""
    found = [pair for pair in _NAMES[split] if any(name in names for name in pair)]
    for pair in found:
        missing = [name for name in pair if name not in names]
        if missing:
            raise UserError(
                f"{where}: must contain both {' and '.join(pair)}, got only one of them, among "
                f"{shown_first(names)}; add or remove one"
            )
    if len(found) > 1:
        raise UserError(
            f"{where}: must contain one array of {split} samples, got {' and '.join(pair[0] for pair in found)}; "
            "remove one"
        )
    return found[0] if found else None


def _required(pair: tuple[str, str] | None, arrays: NamedArrays, where: str) -> tuple[str, str]:
    """Raise an error if there are no training samples."""
    if pair is None:
        raise UserError(
            f"{where}: must contain x_train and y_train, got {shown_first(arrays.names) or 'nothing'}; "
            "add or rename the arrays"
        )
    return pair


def _labels(labels: Rows, samples: int, where: str, name_of_samples: str, name: str) -> NDArray[Any]:
    """Read labels, after checking that there is one for each sample."""
    shape = labels.shape
    if not shape or shape[0] != samples:
        raise UserError(
            f"{where}: must have one label per sample, got {samples} samples in {name_of_samples}, "
            f"{shape[0] if shape else 1} labels in {name}; add or remove labels"
        )
    if len(shape) > 2 or (len(shape) == 2 and shape[1] != 1):
        raise UserError(
            f"{where}: {name} must contain one label per row, got shape {shape}; "
            f"if it is one-hot, save {name}.argmax(axis=1)"
        )
    return np.asarray(labels[:]).reshape(-1)


def _classes(arrays: NamedArrays, where: str) -> tuple[str, ...]:
    if "classes" not in arrays.names:
        return ()
    names = arrays.array("classes")
    if len(names.shape) != 1:
        raise UserError(f"{where}: classes must be a list of names, got shape {names.shape}; save a 1-D array")
    return tuple(_text(name) for name in np.asarray(names[:]).tolist())


def _text(name: Any) -> str:
    return printable(name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else str(name))


def _numbered_names(
    labels: Mapping[str, NDArray[Any]], classes: tuple[str, ...], where: str
) -> tuple[tuple[str, ...], dict[str, NDArray[np.int64]]]:
    """Replace names of classes by their numbers: in the order of `classes`, or sorted.

    Raises:
        UserError: A label is not in `classes`, or only some of the splits have names.
    """
    numbers = [split for split, of_split in labels.items() if of_split.dtype.kind not in TEXT]
    if numbers:
        raise UserError(
            f"{where}: labels of all splits must be of one kind, got numbers in {shown_first(numbers)} and names in "
            "others; convert them"
        )
    found = {split: np.unique(of_split, return_inverse=True) for split, of_split in labels.items()}
    names = {split: [_text(name) for name in unique.tolist()] for split, (unique, _) in found.items()}
    classes = classes or tuple(sorted({name for of_split in names.values() for name in of_split}))
    indices = {}
    for split, (_, inverse) in found.items():
        unknown = [place for place, name in enumerate(names[split]) if name not in classes]
        rows = np.flatnonzero(np.isin(inverse, unknown))
        if len(rows):
            raise UserError(
                f"{where}: labels of {split} must be among classes ({shown_first(classes)}), got "
                f"{names[split][int(inverse[rows[0]])]!r} at index {rows[0]}"
                f"{f' (and {len(rows) - 1} more)' if len(rows) > 1 else ''}; correct the labels, or add the names"
            )
        indices[split] = np.array([classes.index(name) for name in names[split]], np.int64)[inverse]
    return classes, indices
