"""Read arrays from an .npz file."""

import zipfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.errors import UserError, message_of
from pipeline.images.file_names import printable
from pipeline.sources.source import Source, numbered

_DAMAGES = (EOFError, MemoryError, OSError, RuntimeError, TypeError, ValueError, zipfile.BadZipFile, zlib.error)


def read_npz(path: Path, channels: Literal["auto", "first", "last"]) -> Source:
    """Read x_train and y_train, and optionally x_val, y_val, x_test, y_test and the names of the `classes`.

    Args:
        path: The .npz file.
        channels: Axis of the images that contains the channels.

    Raises:
        UserError: The file is missing or damaged, contains pickled objects, or lacks an array.
    """
    try:
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
            arrays = {name: np.asarray(archive[name]) for name in archive.files}
    except FileNotFoundError:
        raise UserError(f"data.source: npz:{path}: no such file; pass the path of an .npz file") from None
    except _DAMAGES as error:
        raise UserError(
            f"data.source: npz:{path}: is not a valid .npz file: {message_of(error)}; "
            "write it with numpy.savez, without pickled objects"
        ) from None
    names = arrays.pop("classes", np.array([], str))
    if names.ndim != 1:
        raise UserError(
            f"data.source: npz:{path}: classes must be a list of names, got shape {names.shape}; save a 1-D array"
        )
    parts = {}
    for split in ("train", "val", "test"):
        if (f"x_{split}" in arrays) != (f"y_{split}" in arrays):
            raise UserError(
                f"data.source: npz:{path}: must contain both x_{split} and y_{split}, got only one of them; "
                "add or remove one"
            )
        if f"x_{split}" in arrays:
            parts[split] = (arrays[f"x_{split}"], arrays[f"y_{split}"])
    if "train" not in parts:
        raise UserError(
            f"data.source: npz:{path}: must contain x_train and y_train, got {', '.join(arrays) or 'nothing'}; "
            "add or rename the arrays"
        )
    return numbered(path.stem, parts, tuple(printable(str(name)) for name in names), channels)
