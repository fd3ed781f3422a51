"""Pictures of samples of each kind."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import Kind


def as_picture(values: NDArray[Any], kind: Kind) -> NDArray[Any]:
    """Convert a sample, or one value for each of its positions, to a picture (height, width, …).

    A spectrogram has its time from left to right and its lowest band at the bottom. A volume is shown as its middle
    slice.

    Args:
        values: (*grid, …) of an image, a spectrogram or a volume.
        kind: Kind of the sample.
    """
    if kind == "audio":
        return np.swapaxes(values, 0, 1)[::-1]
    return values[len(values) // 2] if kind == "volume" else values
