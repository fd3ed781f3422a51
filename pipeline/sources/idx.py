"""Read a folder with the IDX files of MNIST and similar datasets."""

from pathlib import Path

import numpy as np

from pipeline.arrays.idx import open_idx
from pipeline.errors import UserError
from pipeline.sources.source import Source, numbered

_FILES = {"train": "train", "test": "t10k"}


def read_idx_folder(folder: Path) -> Source:
    """Read the four files `{train,t10k}-{images-idx3,labels-idx1}-ubyte`, plain or gzipped.

    Raises:
        UserError: A file is missing, truncated or not an IDX file of unsigned bytes.
    """
    if not folder.is_dir():
        raise UserError(f"data.source: idx:{folder}: no such folder; pass the folder with the four IDX files")
    parts = {}
    for split, stem in _FILES.items():
        images = open_idx(_find(folder, f"{stem}-images-idx3-ubyte"), dimensions=3)
        labels = open_idx(_find(folder, f"{stem}-labels-idx1-ubyte"), dimensions=1)
        parts[split] = (images, labels[:].astype(np.int64))
    return numbered(folder.resolve().name, parts)


def _find(folder: Path, name: str) -> Path:
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    raise UserError(f"data.source: idx:{folder}: must contain {name}, plain or gzipped; add the missing file")
