"""Convert numbers to 32 bits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.rows import Rows
from pipeline.errors import UnreadableError

_LARGEST = np.finfo(np.float32).max
_EXACT = 2**24  # up to which float32 contains all integers


def as_float32(values: NDArray[Any], where: str, number_of: Callable[[int], int] = int) -> NDArray[np.float32]:
    """Return values as 32-bit floating-point numbers. NaN and infinity are kept.

    Args:
        values: Numbers of any shape.
        where: The array or the file, in messages.
        number_of: Function of an index along the first axis that returns its number in the array or the file.

    Raises:
        UnreadableError: A finite value exceeds the range of 32 bits, or an integer would be rounded.
    """
    with np.errstate(over="ignore"):
        result = values.astype(np.float32)
    if values.dtype.kind == "f" and values.dtype.itemsize > 4:
        excessive = np.isinf(result) & np.isfinite(values)
        if excessive.any():
            place, shown = _first_place(excessive, number_of)
            raise UnreadableError(
                f"{where}: values must be from -{_LARGEST:.2g} to {_LARGEST:.2g} (32-bit floating-point numbers), got "
                f"{values[place]:g} at {shown}; divide all values by a constant, or repair "
                "this one"
            )
    if values.dtype.kind in "iu" and values.size and (values.max() > _EXACT or values.min() < -_EXACT):
        with np.errstate(invalid="ignore"):
            rounded = result.astype(values.dtype) != values
        if rounded.any():
            place, shown = _first_place(rounded, number_of)
            raise UnreadableError(
                f"{where}: integers beyond {_EXACT:,} must not be rounded (32-bit floating-point numbers), got "
                f"{values[place]:,} at {shown}; subtract an offset, or save them as "
                "float32 if its 7 digits are enough"
            )
    return result


def _first_place(found: NDArray[np.bool_], number_of: Callable[[int], int]) -> tuple[tuple[int, ...], str]:
    """Indices of the first true value, and how a message shows them."""
    first, *others = (int(index) for index in np.unravel_index(int(found.argmax()), found.shape))
    return (first, *others), ", ".join(map(str, (number_of(first), *others)))


@dataclass(frozen=True)
class Float32Rows:
    """Rows whose values are converted when they are read; see `as_float32`.

    Attributes:
        rows: The rows as they are stored.
        where: The array, in messages.
    """

    rows: Rows
    where: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of samples, then the shape of a sample."""
        return self.rows.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the values after the conversion."""
        return np.dtype(np.float32)

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.rows)

    def __getitem__(self, chosen: Any, /) -> NDArray[np.float32]:
        """Read samples as an array."""

        def number_of(index: int) -> int:
            return int(np.arange(len(self.rows))[chosen][index])

        return as_float32(self.rows[chosen], self.where, number_of)
