"""Open the IDX files of MNIST and similar datasets; gzipped ones are decompressed into temporary files.

The format is described on the MNIST page of LeCun, Cortes and Burges: two zero bytes, a type (8: unsigned byte), the
number of dimensions, each dimension as a big-endian 32-bit integer, then the values.
"""

import gzip
import os
import struct
import zlib
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from pipeline.arrays.file_rows import FileRows
from pipeline.arrays.npy import ArrayLayout
from pipeline.arrays.scratch import decompress
from pipeline.arrays.size import check_ratio
from pipeline.errors import UserError


def open_idx(path: Path, dimensions: int) -> FileRows:
    """Open the unsigned bytes in an IDX file, plain or gzipped (.gz), as rows.

    Args:
        path: The file.
        dimensions: Number of dimensions that it must have.

    Raises:
        UserError: The file is truncated, too long, or in another format.
    """
    try:
        with path.open("rb") as file:
            stored = os.fstat(file.fileno()).st_size
            if path.suffix != ".gz":
                layout = _read_header(file, path, dimensions)
                present = stored - layout.offset
                if present != layout.size:
                    raise UserError(
                        f"{path}: must contain {layout.size} bytes of data for shape "
                        f"{'×'.join(map(str, layout.shape))}, got {present}; the file is truncated or damaged, "
                        "download it again"
                    )
                return FileRows(file, layout, present, str(path))
            with gzip.GzipFile(fileobj=file) as stream:
                layout = _read_header(stream, path, dimensions)
                check_ratio(layout.size, stored, str(path))
                return decompress(stream.read, layout, str(path))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}: must be a complete gzipped IDX file: {error}; download it again") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}; check the file") from None


def _read_header(file: IO[bytes] | gzip.GzipFile, path: Path, dimensions: int) -> ArrayLayout:
    size = 4 + 4 * dimensions
    head = file.read(size)
    if len(head) < size or head[:4] != bytes((0, 0, 8, dimensions)):
        raise UserError(
            f"{path}: must be an IDX file of unsigned bytes in {dimensions} dimensions, which starts with "
            f"00 00 08 {dimensions:02}, got {head[:4].hex(' ') or 'an empty file'}; replace the file"
        )
    shape = struct.unpack(f">{dimensions}I", head[4:])
    return ArrayLayout(shape, np.dtype(np.uint8), size, False, prod(shape))
