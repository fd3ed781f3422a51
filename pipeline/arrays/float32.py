"""Convert numbers to 32 bits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UnreadableError

_LARGEST = np.finfo(np.float32).max
_EXACT = 2**24  # up to which float32 contains all integers


def as_float32(values: NDArray[Any], where: str) -> NDArray[np.float32]:
    """Return values as 32-bit floating-point numbers. NaN and infinity are kept.

    Args:
        values: Numbers of any shape.
        where: The array or the file, in messages.

    Raises:
        UnreadableError: A finite value exceeds the range of 32 bits, or an integer would be rounded.
    """
    with np.errstate(over="ignore"):
        result = values.astype(np.float32)
    if values.dtype.kind == "f" and values.dtype.itemsize > 4:
        excessive = np.isinf(result) & np.isfinite(values)
        if excessive.any():
            place = np.argwhere(excessive)[0]
            raise UnreadableError(
                f"{where}: values must be from -{_LARGEST:.2g} to {_LARGEST:.2g} (32-bit floating-point numbers), got "
                f"{values[tuple(place)]:g} at {', '.join(map(str, place))}; divide all values by a constant, or repair "
                "this one"
            )
    if values.dtype.kind in "iu" and values.size and (values.max() > _EXACT or values.min() < -_EXACT):
        with np.errstate(invalid="ignore"):
            rounded = result.astype(values.dtype) != values
        if rounded.any():
            place = np.argwhere(rounded)[0]
            raise UnreadableError(
                f"{where}: integers beyond {_EXACT:,} must not be rounded (32-bit floating-point numbers), got "
                f"{values[tuple(place)]:,} at {', '.join(map(str, place))}; subtract an offset, or save them as "
                "float32 if its 7 digits are enough"
            )
    return result
