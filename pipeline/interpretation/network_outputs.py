"""The outputs of a network's last layers."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class NetworkOutputs:
    """Outputs of a network's last layers for n images.

    Attributes:
        features: (n, d) input of the last layer.
        logits: (n, classes) scores before softmax.
    """

    features: NDArray[np.floating[Any]]
    logits: NDArray[np.floating[Any]]


def joined(parts: Iterable[NetworkOutputs]) -> NetworkOutputs:
    """Concatenate the outputs of several parts."""
    features, logits = zip(*((part.features, part.logits) for part in parts), strict=True)
    return NetworkOutputs(np.concatenate(features), np.concatenate(logits))
