"""Convert the option `--data` to a value of `data.source`."""

import os
from pathlib import Path

from pipeline.errors import UserError
from pipeline.init.archive import is_archive, unpack
from pipeline.listing.manifest import SUFFIXES as MANIFESTS
from pipeline.sections.data import SOURCES

_ARRAY_FILES = {".npz": "npz", ".h5": "hdf5", ".hdf5": "hdf5"}  # endings of the files of each kind
_FOLDERS = {  # files by which a folder of each kind is recognized
    "idx": ("train-images-idx3-ubyte*",),
    "npy": ("x_train.npy", "train_images.npy", "images.npy"),
    "zarr": (".zgroup", "zarr.json"),
    "volumes": ("*/*.nii", "*/*.nii.gz", "*/*.npy", "*/*/*.nii", "*/*/*.nii.gz", "*/*/*.npy"),
}


def resolve(given: str, raw: Path) -> tuple[str, str]:
    """Return the value of `data.source` and a short name for the data.

    Paths inside the project are relative to it, so that they are valid in a clone; others are absolute.

    Args:
        given: A name, a path, or a value of `data.source`.
        raw: Folder into which archives are unpacked.

    Raises:
        UserError: The path does not exist, or its format is not supported.
    """
    kind, _, place = given.partition(":")
    if kind in SOURCES and bool(place) == bool(SOURCES[kind]) and not Path(given).exists():
        if SOURCES[kind] in ("FOLDER", "FILE"):
            return f"{kind}:{_shown(Path(place))}", Path(place).stem
        return given, place or kind
    path = Path(given).expanduser()
    if not given.strip() or not path.exists():
        raise UserError(
            f"--data: {given!r}: no such file or folder; pass a folder with one subfolder of images per class, an "
            "archive of such a folder, an .npz or HDF5 file, a folder of IDX or .npy files, digits, xo or keras:NAME"
        )
    if path.is_dir():
        return f"{_kind_of_folder(path)}:{_shown(path)}", path.resolve().name
    if path.suffix.lower() in _ARRAY_FILES:
        return f"{_ARRAY_FILES[path.suffix.lower()]}:{_shown(path)}", path.stem
    if path.suffix.lower() in MANIFESTS:
        return f"images:{_shown(path)}", path.stem
    if is_archive(path):
        folder = unpack(path, raw)
        return f"{_kind_of_folder(folder)}:{_shown(folder)}", folder.name
    raise UserError(
        f"--data: {given}: must be a folder, a file of arrays ({', '.join(_ARRAY_FILES)}), a manifest "
        f"({', '.join(MANIFESTS)}), or a .zip or .tar archive, "
        f"got {path.suffix or 'a file'!r}; put the images into a folder with one subfolder per class"
    )


def _kind_of_folder(folder: Path) -> str:
    for kind, patterns in _FOLDERS.items():
        if any(any(folder.glob(pattern)) for pattern in patterns):
            return kind
    return "images"


def _shown(path: Path) -> str:
    """Return a path relative to the project if it is inside, else absolute. Symbolic links are not resolved."""
    absolute = Path(os.path.abspath(path))
    here = Path.cwd()
    return absolute.relative_to(here).as_posix() if absolute.is_relative_to(here) else absolute.as_posix()
