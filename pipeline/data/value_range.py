"""Raw values of black and white, and the conversion of pixels in image files to raw values."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pipeline.params.base import Section

_BYTE, _WORD = 255.0, 65535.0


class ValueRange(Section):
    """Raw values of black and white. They are saved with the network, so that image files can be scaled to them."""

    black: float = Field(default=0.0, description="Raw value of black.")
    white: float = Field(default=_BYTE, description="Raw value of white.")
    sixteen_bit: tuple[float, float] = Field(
        default=(0.0, _WORD), description="Values of black and white in image files with 16 bits per value."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not (self.black < self.white and self.sixteen_bit[0] < self.sixteen_bit[1]):
            raise ValueError("black must be below white")
        return self

    @property
    def is_bytes(self) -> bool:
        """Whether raw values are 8-bit pixels."""
        return (self.black, self.white) == (0.0, _BYTE)

    @property
    def bounds(self) -> tuple[float, float]:
        """Raw values of black and of white."""
        return self.black, self.white

    def from_pixels(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Convert pixels to raw values.

        Args:
            pixels: Values from 0 to 255: uint8, or float32 for files with more than 8 bits per value.

        Returns:
            An array of the same shape: uint8 if raw values are 8-bit pixels, else float32.
        """
        if self.is_bytes:
            return pixels if pixels.dtype == np.uint8 else np.rint(pixels).astype(np.uint8)
        return (self.black + pixels.astype(np.float32) * np.float32((self.white - self.black) / _BYTE)).astype(
            np.float32
        )

    def from_sixteen_bit(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Scale the values of a 16-bit image file to pixels from 0 to 255; values outside the range are clipped."""
        black, white = self.sixteen_bit
        return np.asarray(((values.astype(np.float64) - black) / (white - black)).clip(0, 1) * _BYTE, np.float32)


BYTES = ValueRange()


def range_of_files(declared: tuple[float, float] | None) -> ValueRange:
    """The range of image files, which are converted to 8-bit pixels.

    Args:
        declared: `data.value_range`; None: 16-bit files are scaled by their bit depth.
    """
    return BYTES if declared is None else ValueRange(sixteen_bit=declared)


def range_of_arrays(
    least: float, greatest: float, whole: bool, declared: tuple[float, float] | None
) -> ValueRange | None:
    """The range of arrays, estimated from their smallest and largest value; None if it cannot be determined.

    Args:
        least: Smallest value in the arrays.
        greatest: Largest value in the arrays.
        whole: Whether all values are whole numbers.
        declared: `data.value_range`.
    """
    if declared is not None:
        as_stored = whole and declared[1] > _BYTE  # 16-bit files of such data contain the same values
        return ValueRange(
            black=declared[0], white=declared[1], sixteen_bit=declared if as_stored else BYTES.sixteen_bit
        )
    if least >= 0 and 0.5 < greatest <= 1:
        return ValueRange(black=0.0, white=1.0)
    if least >= 0 and 127 < greatest <= _BYTE:
        return BYTES
    return None
