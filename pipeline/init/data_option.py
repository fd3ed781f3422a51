"""Convert the option `--data` to a value of `data.source`."""

import os
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import UserError, shown_first
from pipeline.init.archive import is_archive, unpack
from pipeline.init.folder_kind import WORDS, FolderKind, kind_of_files, kind_of_folder
from pipeline.listing.list_files import list_files
from pipeline.listing.manifest import SUFFIXES as MANIFESTS
from pipeline.sections.data import SOURCES

_FILES = {".npz": "npz", ".h5": "hdf5", ".hdf5": "hdf5", ".ts": "ts"}  # endings of the files of each kind
_FOLDERS = {  # files by which a folder of each kind is recognized, whatever else it contains
    "idx": ("train-images-idx3-ubyte*",),
    "npy": ("x_train.npy", "train_images.npy", "images.npy"),
    "zarr": (".zgroup", "zarr.json"),
    "ts": ("*_TRAIN.ts", "*_train.ts"),
    "huggingface": ("dataset_dict.json", "state.json"),
}
_PATHS = ("FOLDER", "FILE", "PATH")


class DataOption(NamedTuple):
    """The meaning of the option `--data`.

    Attributes:
        source: The value of `data.source`.
        name: Short name for the data.
        found: How the kind was recognized, as a sentence for the user; empty if it was given.
    """

    source: str
    name: str
    found: str = ""


def resolve(given: str, raw: Path) -> DataOption:
    """Determine `data.source`: by the kind that is given, or else by the content of the files.

    Paths inside the project are relative to it, so that they are valid in a clone; others are absolute.

    Args:
        given: A name, a path, or a value of `data.source`.
        raw: Folder into which archives are unpacked.

    Raises:
        UserError: The path does not exist, or its format is not supported.
    """
    kind, _, place = given.partition(":")
    if kind in SOURCES and bool(place) == bool(SOURCES[kind]) and not Path(given).exists():
        if SOURCES[kind] in _PATHS:
            places = [Path(place)] if Path(place).exists() else [Path(each) for each in place.split(",")]
            return DataOption(f"{kind}:{','.join(map(_shown, places))}", places[0].stem)
        return DataOption(given, Path(place).name if Path(place).exists() and place else place or kind)
    path = Path(given).expanduser()
    if "," in given and not path.exists():
        return _of_folders([Path(each).expanduser() for each in given.split(",")])
    if not given.strip() or not path.exists():
        raise UserError(
            f"--data: {given!r}: no such file or folder; pass a folder with one subfolder per class of images, CSV "
            "series, recordings or volumes, an archive of such a folder, a manifest, an .npz, HDF5 or .ts file, a "
            "folder of IDX or .npy files, digits, xo, keras:NAME or huggingface:NAME"
        )
    if path.is_dir():
        return _of_folder(path, path.resolve().name)
    ending = path.suffix.lower()
    if ending in _FILES:
        return DataOption(f"{_FILES[ending]}:{_shown(path)}", path.stem)
    if ending in MANIFESTS:
        entries = list_files("images", str(path), None, ()).entries
        return _of_files(kind_of_files([Path(entry.path) for entry in entries]), path, path.stem)
    if is_archive(path):
        folder = unpack(path, raw)
        return _of_folder(folder, folder.name)
    raise UserError(
        f"--data: {given}: must be a folder, a file of arrays or series ({', '.join(_FILES)}), a manifest "
        f"({', '.join(MANIFESTS)}), or a .zip or .tar archive, "
        f"got {path.suffix or 'a file'!r}; put the files into a folder with one subfolder per class"
    )


def _of_folder(folder: Path, name: str) -> DataOption:
    for kind, patterns in _FOLDERS.items():
        if any(any(folder.glob(pattern)) for pattern in patterns):
            return DataOption(f"{kind}:{_shown(folder)}", name)
    return _of_files(kind_of_folder(folder), folder, name)


def _of_folders(folders: list[Path]) -> DataOption:
    """The folders that are joined, named after the first one, as the dataset is."""
    missing = [str(each) for each in folders if not each.is_dir()]
    if missing:
        raise UserError(
            f"--data: several places must be folders of the same kind, separated by commas, got "
            f"{shown_first(missing)}; pass existing folders, or one manifest"
        )
    found = [_of_folder(each, each.resolve().name) for each in folders]
    kinds = [each.source.partition(":")[0] for each in found]
    if len(set(kinds)) > 1 or kinds[0] not in WORDS:
        raise UserError(
            f"--data: several folders must contain files of the same kind ({', '.join(WORDS)}), got "
            f"{', '.join(kinds)}; pass folders of one kind"
        )
    source = f"{kinds[0]}:{','.join(map(_shown, folders))}"
    return DataOption(source, found[0].name, f"folders of {WORDS[kinds[0]]} are joined: read as {source}")


def _of_files(found: FolderKind, path: Path, name: str) -> DataOption:
    shown = _shown(path)
    sentence = (
        f"{found.recognized} of {found.inspected} inspected files are {WORDS[found.kind]}: read as "
        f"{found.kind}:{shown}; for another kind, pass --data KIND:{shown}"
    )
    return DataOption(f"{found.kind}:{shown}", name, sentence)


def _shown(path: Path) -> str:
    """Return a path relative to the project if it is inside, else absolute. Symbolic links are not resolved."""
    absolute = Path(os.path.abspath(path))
    here = Path.cwd()
    return absolute.relative_to(here).as_posix() if absolute.is_relative_to(here) else absolute.as_posix()
