"""What a corruption is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Samples = NDArray[np.float32]  # (n, *grid, channels), scaled such that the value range is from 0 to 1

SEVERITIES = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Corruption:
    """A kind of corruption.

    Attributes:
        amounts: Amount for each severity.
        unit: Unit of the amounts.
        apply: Function from samples, an amount and a random generator to new samples.
        clipped: Whether the result is clipped to the value range.
    """

    amounts: tuple[float, ...]
    unit: str
    apply: Callable[[Samples, float, Generator], Samples]
    clipped: bool = True
