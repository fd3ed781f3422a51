"""Convert numbers to 32 bits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UnreadableError

_LARGEST = np.finfo(np.float32).max


def as_float32(values: NDArray[Any], where: str) -> NDArray[np.float32]:
    """Return values as 32-bit floating-point numbers. NaN and infinity are kept.

    Args:
        values: Numbers of any shape.
        where: The array or the file, in messages.

    Raises:
        UnreadableError: A finite value exceeds the range of 32 bits.
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
    return result
