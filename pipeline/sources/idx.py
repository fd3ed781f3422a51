"""Read the IDX files of MNIST and similar datasets.

The format is described on the MNIST page of LeCun, Cortes and Burges: two zero bytes, a type (8: unsigned byte), the
number of dimensions, each dimension as a big-endian 32-bit integer, then the values.
"""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.sources.source import Source, numbered

_FILES = {"train": "train", "test": "t10k"}


def read_idx_folder(folder: Path) -> Source:
    """Read the four files `{train,t10k}-{images-idx3,labels-idx1}-ubyte`, plain or gzipped.

    Raises:
        UserError: A file is missing, truncated, or not an IDX file of unsigned bytes.
    """
    if not folder.is_dir():
        raise UserError(f"data.source: idx:{folder}: no such folder; pass the folder with the four IDX files")
    parts = {}
    for split, stem in _FILES.items():
        images = read_idx(_find(folder, f"{stem}-images-idx3-ubyte"), dimensions=3)
        labels = read_idx(_find(folder, f"{stem}-labels-idx1-ubyte"), dimensions=1)
        parts[split] = (images, labels.astype(np.int64))
    return numbered(folder.resolve().name, parts)


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read the unsigned bytes in an IDX file.

    Raises:
        UserError: The file is truncated, too long, or in another format.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: must be a complete gzipped IDX file: {error}; download it again") from None
    head = 4 + 4 * dimensions
    if len(content) < head or content[:4] != bytes((0, 0, 8, dimensions)):
        raise UserError(
            f"{path}: must be an IDX file of unsigned bytes in {dimensions} dimensions, which starts with "
            f"00 00 08 {dimensions:02}, got {content[:4].hex(' ') or 'an empty file'}; replace the file"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:head])
    expected = int(np.prod(shape, dtype=np.int64))
    if len(content) - head != expected:
        raise UserError(
            f"{path}: must contain {expected} bytes of data for shape {'×'.join(map(str, shape))}, got "
            f"{len(content) - head}; the file is truncated or damaged, download it again"
        )
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape)


def _find(folder: Path, name: str) -> Path:
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    raise UserError(f"data.source: idx:{folder}: must contain {name}, plain or gzipped; add the missing file")
