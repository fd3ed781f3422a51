"""Decode a NIfTI file (.nii, .nii.gz) with nibabel, after checking its header."""

import gzip
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UnreadableError, UserError, message_of

GZIP = b"\x1f\x8b"
_SIZES = {348: 1, 540: 2}  # of the header, by version of the format
_MAGIC = {1: (b"n+1\x00", b"ni1\x00"), 2: (b"n+2\x00", b"ni2\x00")}
_ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")
_LONGEST_HEADER = 544  # with the flag for extensions
_MAX_EXTENSIONS = 2**24  # bytes
MAX_VALUES = 2**27


def is_nifti(content: bytes) -> bool:
    """Whether the content of a file starts like a NIfTI file, plain or gzipped."""
    return content[:2] == GZIP or any(size.to_bytes(4, order) == content[:4] for size in _SIZES for order in _ORDERS)


def decode_nifti(content: bytes, name: str) -> NDArray[np.float32]:
    """Decode a NIfTI file.

    Stored values are scaled by the slope and intercept of the header. The axes are turned to the closest anatomical
    ones (right, anterior, superior), and ordered (inferior to superior, posterior to anterior, left to right).

    Args:
        content: The file, plain or gzipped.
        name: Name of the file in messages.

    Returns:
        (depth, height, width, channels) values. Files of four axes have their volumes as channels.

    Raises:
        UserError: nibabel is not installed.
        UnreadableError: The file is damaged, truncated, too large, or has other axes.
    """
    if find_spec("nibabel") is None:
        raise UserError(
            f"{name}: NIfTI files require the package nibabel; install it with `make extras EXTRAS=volumes`"
        )
    nib: Any = import_module("nibabel")

    try:
        file = gzip.GzipFile(fileobj=BytesIO(content)) if content[:2] == GZIP else BytesIO(content)
        size = _declared_size(file.read(_LONGEST_HEADER), name)
        file.seek(0)
        whole = file.read(size)
        file.read(1)  # at the end of a gzipped file, its checksum is compared
        if len(whole) < size:
            raise UnreadableError(
                f"{name}: is truncated: its header declares {size:,} bytes, got {len(whole):,}; replace the file"
            )
        version = _SIZES[_header_size(whole[:4]) or 348]
        image = (nib.Nifti1Image if version == 1 else nib.Nifti2Image).from_bytes(whole)
        image = nib.as_closest_canonical(image)
        values = image.get_fdata(dtype=np.float32, caching="unchanged")
    except UnreadableError:
        raise
    except (
        Exception
    ) as error:  # nibabel raises arbitrary exceptions on malformed headers; one bad file must not abort the batch
        raise UnreadableError(f"{name}: is not a valid NIfTI file: {message_of(error)}; replace the file") from None
    return np.ascontiguousarray(np.moveaxis(values.reshape(*values.shape[:3], -1), (0, 1, 2), (2, 1, 0)))


def _header_size(start: bytes) -> int | None:
    """Size of the header, by which the byte order and the version are recognized; None if it is not NIfTI."""
    return next((size for size in _SIZES for order in _ORDERS if size.to_bytes(4, order) == start), None)


def _declared_size(head: bytes, name: str) -> int:
    """Number of bytes of the uncompressed file that its header declares.

    Raises:
        UnreadableError: The header is damaged, or declares something else than a volume of numbers.
    """
    nib: Any = import_module("nibabel")

    size = _header_size(head[:4])
    if size is None or len(head) < size:
        raise UnreadableError(f"{name}: must be a NIfTI file, got another format or a truncated header")
    version = _SIZES[size]
    header = (nib.Nifti1Header if version == 1 else nib.Nifti2Header)(head[:size], check=False)
    if bytes(header["magic"].item()).ljust(4, b"\0")[:4] not in _MAGIC[version]:
        raise UnreadableError(f"{name}: must be a NIfTI file, got a header without its mark; replace the file")
    if bytes(header["magic"].item())[:2] == b"ni":
        raise UnreadableError(f"{name}: must contain header and values in one file, got only a header; convert it")
    shape, offset = header.get_data_shape(), float(header["vox_offset"])
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise UnreadableError(f"{name}: must contain real numbers, got {dtype}; convert it")
    if not 3 <= len(shape) <= 5 or min(shape) < 1 or (len(shape) == 5 and shape[3] != 1):
        raise UnreadableError(
            f"{name}: must have three axes, or four of which the last one becomes the channels, got shape {shape}"
        )
    count = int(np.prod([int(extent) for extent in shape], dtype=object))
    if count > MAX_VALUES:
        raise UnreadableError(
            f"{name}: must have at most {MAX_VALUES:,} values, got {count:,} (shape {shape}); reduce its resolution"
        )
    if not size <= offset <= _MAX_EXTENSIONS or offset != int(offset):
        raise UnreadableError(f"{name}: has a damaged header: values start at byte {offset:g}; replace the file")
    return int(offset) + count * int(dtype.itemsize)
