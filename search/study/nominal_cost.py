"""Nominal time: the training time on a fictitious machine, computed by arithmetic."""

from pipeline.cnn.training_cost import seconds_per_image
from search.study.config import StudyConfig

# Roughly a CPU with two cores. Only the ratios matter: they order decisions and measure the time spent so far.
MACS_PER_SECOND = 20e9
SECONDS_PER_RUNG = 1.0  # to build and trace a network


def nominal_seconds(config: StudyConfig, macs: float, first: int, last: int) -> float:
    """Return the nominal seconds of the rungs from index `first` up to but not including `last`.

    The result depends only on the arguments, so that a study with decisions based on it is the same on any machine.

    Args:
        config: The constants of the study.
        macs: Multiply-accumulates per image.
        first: Index of the first rung, from 0.
        last: Index after the last rung.
    """
    seconds, rungs = 0.0, config.rungs
    for number in range(first, last):
        epochs = rungs[number].epoch - (rungs[number - 1].epoch if number else 0)
        seen = epochs * config.images * rungs[number].share
        seconds += SECONDS_PER_RUNG + seen * seconds_per_image(macs, MACS_PER_SECOND)
    return seconds
