"""Nominal time: what training costs by arithmetic, on a machine that does not exist."""

from collections.abc import Sequence

from search.study.rungs import Rung

# A processor of two cores, roughly. Only the proportions matter: they order decisions and measure what was spent.
MACS_PER_SECOND = 20e9
SECONDS_PER_IMAGE = 3e-5
SECONDS_PER_RUNG = 1.0  # to build and trace a network
# A training step passes the network forwards once and backwards at twice the cost. Source: Kaplan et al. (2020),
# "Scaling Laws for Neural Language Models", section 2.1.
PASSES = 3


def nominal_seconds(macs: float, images: int, rungs: Sequence[Rung], first: int, last: int) -> float:
    """What the rungs from number `first` up to but not including `last` cost.

    It is a function of its arguments alone, so that a study whose decisions follow it is the same on any machine.

    Args:
        macs: multiply-accumulates per image.
        images: in the training split.
        rungs: of the study.
        first: number of the first rung, from 0.
        last: number behind the last rung.
    """
    seconds = 0.0
    for number in range(first, last):
        epochs = rungs[number].epoch - (rungs[number - 1].epoch if number else 0)
        seen = epochs * images * rungs[number].share
        seconds += SECONDS_PER_RUNG + seen * (PASSES * macs / MACS_PER_SECOND + SECONDS_PER_IMAGE)
    return seconds
