"""Check the HDF5 files in which Keras saves weights, before Keras reads them."""

import io
from pathlib import Path
from typing import Any

from pipeline.errors import UserError, message_of

# Weights of more than this many bytes may be at most this many times as large as their file.
_SMALL, _MAX_RATIO = 64 * 2**20, 20


def count_stored_values(source: Path | bytes, where: str, remedy: str) -> int:
    """Count the values of all weights in a file, which must be stored in the file itself.

    Args:
        source: The file, or its content.
        where: Start of the messages.
        remedy: End of the messages.

    Raises:
        UserError: The weights cannot be read, lead to other files, or expand beyond the size of the file.
    """
    import h5py

    links: dict[str, Any] = {}
    values = declared = 0
    try:
        with h5py.File(io.BytesIO(source) if isinstance(source, bytes) else source, "r") as file:
            file.visititems_links(links.__setitem__)
            for name, link in links.items():
                if not isinstance(link, h5py.HardLink):
                    raise UserError(f"{where}: {name} must not be a link, which can lead to other files; {remedy}")
                if isinstance(found := file[name], h5py.Dataset):
                    if found.is_virtual or found.external:
                        raise UserError(f"{where}: {name} must not be stored in other files; {remedy}")
                    values += int(found.size or 0)
                    declared += int(found.size or 0) * found.dtype.itemsize
    except (KeyError, OSError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"{where}: cannot be read: {message_of(error)}; {remedy}") from None
    require_ratio(declared, len(source) if isinstance(source, bytes) else source.stat().st_size, where, remedy)
    return values


def require_ratio(declared: int, stored: int, where: str, remedy: str) -> None:
    """Raise an error if weights expand to far more bytes than are stored."""
    if declared > max(_SMALL, _MAX_RATIO * stored):
        raise UserError(
            f"{where}: must not expand to more than {_MAX_RATIO} times its size, got {declared:,} bytes of {stored:,}, "
            f"which would exhaust the memory; {remedy}"
        )
