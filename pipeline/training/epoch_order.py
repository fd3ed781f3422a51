"""Which training images each epoch takes, and in which order."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def share_of_each_epoch(shares: Sequence[float] | None, epochs: int) -> tuple[float, ...]:
    """The share of the training images that each epoch takes; None stands for all of them in every epoch.

    Raises:
        ValueError: not one number above 0 and up to 1 for each epoch.
    """
    if shares is None:
        return (1.0,) * epochs
    if len(shares) != epochs or not all(0.0 < share <= 1.0 for share in shares):
        raise ValueError(
            f"shares must be {epochs} numbers above 0 and up to 1, one for each of training.epochs, got {list(shares)}"
        )
    return tuple(float(share) for share in shares)


def images_of_each_epoch(shares: Sequence[float], images: int) -> tuple[int, ...]:
    """How many of the training images each epoch takes: its share, rounded up."""
    return tuple(math.ceil(share * images) for share in shares)


def order_of_epoch(seed: int, epoch: int, images: int, taken: int) -> NDArray[np.int64]:
    """The images that an epoch takes: the first of its own permutation of all of them.

    Epoch 1 has the spawn key 1; key 0 is that of the weights.
    """
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch,)))
    return generator.permutation(images)[:taken]
