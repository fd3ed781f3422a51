"""Read the user's outliers, which are inputs unlike the data: a folder of files, or an .npy file."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.input_format import InputFormat
from pipeline.data.value_range import BYTES, ValueRange
from pipeline.errors import UserError
from pipeline.inference.image_inputs import find
from pipeline.inference.read_input import read_input, slices_of, suffixes_of, why_no_files
from pipeline.terminal.progress import progress

_LOGGER = logging.getLogger(__name__)


def read_outliers(
    path: Path,
    input_shape: tuple[int, ...],
    value_range: ValueRange | None = BYTES,
    input_format: InputFormat | None = None,
) -> NDArray[Any]:
    """Read outliers. Files are converted as for training.

    Args:
        path: A folder, which is searched recursively, or an .npy file with an array (n, *grid, channels).
        input_shape: Grid and channels of the data.
        value_range: Raw values of black and white; None: unknown.
        input_format: How a file becomes an input; None: unknown.

    Returns:
        (n, *input_shape) raw values. Unreadable files are left out, and their number is logged.

    Raises:
        UserError: The folder or file does not exist or contains no image, or the array does not fit the data.
    """
    where = f"params.yaml: evaluate.out_of_distribution.outliers: {path}"
    if path.suffix == ".npy":
        try:
            if not path.is_file():  # opening a pipe would wait for a writer
                raise ValueError("there is no such file")
            images = np.lib.format.open_memmap(path, mode="r")  # reads nothing if the shape is wrong
        except (OSError, ValueError, EOFError, OverflowError) as error:
            raise UserError(f"{where}: must be an array: {error}; write the file with numpy.save") from None
        if images.shape[1:] != tuple(input_shape) or not len(images):
            raise UserError(
                f"{where}: must contain images of shape {list(input_shape)}, got shape {list(images.shape)}; "
                "reshape the array"
            )
        if not np.issubdtype(images.dtype, np.number):
            raise UserError(f"{where}: must contain numbers, got {images.dtype}; convert the array")
        if infinite := int((~np.isfinite(images)).sum()):
            raise UserError(
                f"{where}: must contain only finite numbers, got {infinite:,} NaN or infinite values; replace them"
            )
        return np.array(images)
    if not path.is_dir():
        raise UserError(f"{where}: no such folder; must be a folder of files, or an .npy file")
    if (reason := why_no_files(input_format, input_shape, value_range)) is not None:
        raise UserError(f"{where}: files cannot be used: {reason}; or use an .npy file")
    endings = suffixes_of(input_format, input_shape), slices_of(input_format)
    files, unreadable = [each for each in find([str(path)], *endings) if not each.problem], 0
    found: list[NDArray[Any]] = []
    for file in progress(files, "reading outliers", len(files)):
        try:
            found.extend(read_input(file.source, file.shown, input_format, input_shape, value_range).values)
        except UserError:
            unreadable += 1
    if unreadable:
        _LOGGER.warning(f"{path}: skipped {unreadable} of {len(files)} files because they cannot be read")
    if not found:
        raise UserError(f"{where}: must contain readable files, got none; add some, or use an .npy file")
    return np.stack(found)
