"""Selection and order of the training images in each epoch."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def share_of_each_epoch(shares: Sequence[float] | None, epochs: int) -> tuple[float, ...]:
    """Share of the training images that each epoch uses. None means all images in every epoch.

    Raises:
        ValueError: `shares` does not contain one number above 0 and up to 1 for each epoch.
    """
    if shares is None:
        return (1.0,) * epochs
    if len(shares) != epochs or not all(0.0 < share <= 1.0 for share in shares):
        raise ValueError(
            f"shares must contain {epochs} numbers greater than 0 and at most 1, one for each epoch (training.epochs), "
            f"got {list(shares)}"
        )
    return tuple(float(share) for share in shares)


def images_of_each_epoch(shares: Sequence[float], images: int) -> tuple[int, ...]:
    """Number of training images in each epoch: its share, rounded up."""
    return tuple(math.ceil(share * images) for share in shares)


def order_of_epoch(seed: int, epoch: int, images: int, taken: int) -> NDArray[np.int64]:
    """Indices of the images that an epoch uses, in order: the first `taken` of its own permutation of all images.

    The spawn key is the number of the epoch, from 1. Key 0 is used for the weights.
    """
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch,)))
    return generator.permutation(images)[:taken]
