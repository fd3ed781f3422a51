"""Nominal time: the training time on a fictitious machine, computed by arithmetic."""

from collections.abc import Sequence

from search.study.rungs import Rung

# Roughly a CPU with two cores. Only the ratios matter: they order decisions and measure the time spent so far.
MACS_PER_SECOND = 20e9
SECONDS_PER_IMAGE = 3e-5
SECONDS_PER_RUNG = 1.0  # to build and trace a network
# A training step has a forward pass and a backward pass, which costs twice as much. Source: Kaplan et al. (2020),
# "Scaling Laws for Neural Language Models", section 2.1.
PASSES = 3


def nominal_seconds(macs: float, images: int, rungs: Sequence[Rung], first: int, last: int) -> float:
    """Return the nominal seconds of the rungs from index `first` up to but not including `last`.

    The result depends only on the arguments, so that a study with decisions based on it is the same on any machine.

    Args:
        macs: Multiply-accumulates per image.
        images: Number of images in the training split.
        rungs: The rungs of the study.
        first: Index of the first rung, from 0.
        last: Index after the last rung.
    """
    seconds = 0.0
    for number in range(first, last):
        epochs = rungs[number].epoch - (rungs[number - 1].epoch if number else 0)
        seen = epochs * images * rungs[number].share
        seconds += SECONDS_PER_RUNG + seen * (PASSES * macs / MACS_PER_SECOND + SECONDS_PER_IMAGE)
    return seconds
