"""Decompress a stream into a file without a name: the memory does not grow, and nothing is left behind."""

import errno
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from pipeline.arrays.file_rows import FileRows
from pipeline.arrays.npy import ArrayLayout, check_complete
from pipeline.arrays.size import amount
from pipeline.errors import UserError
from pipeline.terminal.progress import progress

_BLOCK = 2**20


def scratch_folder() -> Path:
    """The folder for large temporary files: `data`, since the system's own one is often kept in memory."""
    return Path("data") if Path("data").is_dir() else Path(tempfile.gettempdir())


def decompress(read: Callable[[int], bytes], layout: ArrayLayout, where: str) -> FileRows:
    """Write the values of a stream to a temporary file, and return its rows.

    The file has no name, so that its space is free again as soon as the rows are not used, or the process is killed.

    Args:
        read: Returns the next bytes of the values: as many as asked, fewer only at the end.
        layout: Shape and dtype; its offset is not used.
        where: Start of an error message.

    Raises:
        UserError: The stream has fewer or more bytes than the shape requires, or the disk is full.
    """
    folder = scratch_folder()
    free = shutil.disk_usage(folder).free
    if layout.size > free:
        raise UserError(
            f"{where}: needs {amount(layout.size)} in {folder.absolute()} while it is read, since it is compressed, "
            f"but {amount(free)} are free; free some, or save it uncompressed"
        )
    written = 0
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            blocks = -(-layout.size // _BLOCK)
            for _ in progress(range(blocks), "decompressing", blocks):
                wanted = min(_BLOCK, layout.size - written)
                block = read(wanted)
                written += file.write(block)
                if len(block) < wanted:
                    break
            if written == layout.size:
                written += len(read(1))
            file.flush()
            check_complete(layout, written, where)
            plain = ArrayLayout(layout.shape, layout.dtype, 0, layout.column_major, layout.size)
            return FileRows(file, plain, written, where)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"{where}: the disk of {folder.absolute()} is full after {amount(written)} of {amount(layout.size)}; "
            "free some space, or save the array uncompressed"
        ) from None
