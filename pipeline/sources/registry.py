"""Where images come from: one function for each kind of `data.source`."""

import zipfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.console import held_back_stderr
from pipeline.data.value_range import range_of_files
from pipeline.errors import UserError
from pipeline.images.file_names import existing, printable
from pipeline.params.sections import DataParams
from pipeline.sources.source import Source, numbered

_DAMAGES = (EOFError, MemoryError, OSError, RuntimeError, TypeError, ValueError, zipfile.BadZipFile, zlib.error)


def load(params: DataParams, seed: int) -> Source:
    """The images of `data.source`.

    Raises:
        UserError: the source is missing, or not what its kind demands.
    """
    kind, _, place = params.source.partition(":")
    match kind:
        case "digits":
            return _digits()
        case "xo":
            from pipeline.sources.xo import draw_xo

            return Source("xo", ("x", "o"), {"train": draw_xo(params.xo, seed)})
        case "idx":
            from pipeline.sources.idx import read_idx_folder

            return read_idx_folder(existing(Path(place)))
        case "images":
            from pipeline.sources.image_folder import read_image_folder

            return read_image_folder(
                existing(Path(place)),
                params.color_mode,
                params.image_size,
                params.on_unreadable,
                range_of_files(params.value_range),
            )
        case "npz":
            return _npz(existing(Path(place)), params.channels)
        case _:
            return _keras(place)


def _digits() -> Source:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    scaled = (images.reshape(-1, 8, 8, 1) * (255 / 16)).round().astype(np.uint8)  # 17 grey levels, as pixels
    return Source("digits", tuple("0123456789"), {"train": (scaled, labels.astype(np.int64))})


def _npz(path: Path, channels: Literal["auto", "first", "last"]) -> Source:
    try:
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
            arrays = {name: np.asarray(archive[name]) for name in archive.files}
    except FileNotFoundError:
        raise UserError(f"data.source: npz:{path}: no such file; give the path of an .npz file") from None
    except _DAMAGES as error:
        told = f"{type(error).__name__}: {error}"
        raise UserError(
            f"data.source: npz:{path}: must be an .npz file without pickled objects: {told}; write it with numpy.savez"
        ) from None
    names = arrays.pop("classes", np.array([], str))
    if names.ndim != 1:
        raise UserError(f"data.source: npz:{path}: classes must be a list of names, got shape {names.shape}")
    parts = {}
    for split in ("train", "val", "test"):
        if (f"x_{split}" in arrays) != (f"y_{split}" in arrays):
            raise UserError(f"data.source: npz:{path}: needs both x_{split} and y_{split}, got one of them")
        if f"x_{split}" in arrays:
            parts[split] = (arrays[f"x_{split}"], arrays[f"y_{split}"])
    if "train" not in parts:
        raise UserError(f"data.source: npz:{path}: needs x_train and y_train, got {', '.join(arrays) or 'nothing'}")
    return numbered(path.stem, parts, tuple(printable(str(name)) for name in names), channels)


def _keras(name: str) -> Source:
    with held_back_stderr():
        import keras

    try:
        train, test = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises a bare Exception when it cannot fetch a file
        if type(error) is not Exception and not isinstance(error, OSError):
            raise
        raise UserError(
            f"data.source: keras:{name}: could not be fetched: {error}; needs the internet at first use, "
            "or use idx:, npz: or images: with files of your own"
        ) from None
    return numbered(name, {"train": train, "test": test})
