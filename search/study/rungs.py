"""The rungs of a study: the points at which trials are evaluated and may be pruned, and their nominal time.

Nominal time is the training time on a fictitious machine, computed by arithmetic.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.cnn.training_cost import estimated_seconds
from pipeline.params import SearchParams

# Roughly a CPU with two cores. Only the ratios matter: they order decisions and measure the time spent so far.
MACS_PER_SECOND = 20e9
SECONDS_PER_RUNG = 1.0  # to build and trace a network


@dataclass(frozen=True)
class Rung:
    """A point at which a trial is evaluated and may be pruned.

    Attributes:
        resource: The step reported to Optuna: `min_epochs` times a power of `reduction_factor`, or `epochs` at the end.
        epoch: The last epoch of the rung, from 1.
        share: Share of the training images that each epoch of the rung uses.
    """

    resource: int
    epoch: int
    share: float


def with_long_rungs(settings: SearchParams, images: int, batch_size: int) -> SearchParams:
    """Raise `min_epochs` until the first rung has `min_steps` optimizer steps, up to `epochs`.

    With few images, an epoch has only one or two steps, after which candidates have not learned enough to be compared.

    Args:
        settings: The section `search` of params.yaml.
        images: Number of images in the training split.
        batch_size: Largest batch size that a trial can have.
    """
    epochs = settings.min_epochs
    while epochs < settings.epochs and _first_steps(settings, epochs, images, batch_size) < settings.min_steps:
        epochs += 1
    return settings.model_copy(update={"min_epochs": epochs})


def _first_steps(settings: SearchParams, epochs: int, images: int, batch_size: int) -> int:
    """Return the number of optimizer steps of a first rung that has `epochs` epochs."""
    share = 1.0 if settings.fidelity == "epochs" else epochs / settings.epochs
    return epochs * math.ceil(images * share / batch_size)


def make_rungs(settings: SearchParams) -> tuple[Rung, ...]:
    """Return all rungs in order.

    The number of epochs, the share of the training images, or both grow with the resource. If only the share grows,
    each rung except the last one adds `min_epochs` epochs, and the last one adds the remaining epochs.
    """
    resources = []
    resource = settings.min_epochs
    while resource < settings.epochs:
        resources.append(resource)
        resource *= settings.reduction_factor
    resources.append(settings.epochs)
    found = []
    for number, resource in enumerate(resources, start=1):
        share = 1.0 if settings.fidelity == "epochs" else resource / settings.epochs
        last = number == len(resources)
        epoch = resource if settings.fidelity != "data" or last else min(number * settings.min_epochs, settings.epochs)
        found.append(Rung(resource, epoch, share))
    return tuple(found)


def shares(rungs: Sequence[Rung]) -> tuple[float, ...]:
    """Return the share of the training images that each epoch uses."""
    found: list[float] = []
    for rung in rungs:
        found += [rung.share] * (rung.epoch - len(found))
    return tuple(found)


def expected_share(settings: SearchParams, rungs: Sequence[Rung]) -> float:
    """Estimate from the pruner's settings the share of a full training that a trial gets on average."""
    passing = {"none": 1.0, "median": 0.5}.get(settings.pruner, 1 / settings.reduction_factor)
    starts = [0, *(rung.epoch for rung in rungs[:-1])]
    works = [rung.share * (rung.epoch - start) for rung, start in zip(rungs, starts, strict=True)]
    return sum(work * passing**number for number, work in enumerate(works)) / sum(works)


def nominal_seconds(rungs: Sequence[Rung], images: int, macs: float, first: int, last: int) -> float:
    """Return the nominal seconds of the rungs from index `first` up to but not including `last`.

    The result depends only on the arguments, so that a study with decisions based on it is the same on any machine.

    Args:
        rungs: All rungs of the study, in order.
        images: Number of images in the training split.
        macs: Multiply-accumulates per image.
        first: Index of the first rung, from 0.
        last: Index after the last rung.
    """
    seconds = 0.0
    for number in range(first, last):
        epochs = rungs[number].epoch - (rungs[number - 1].epoch if number else 0)
        seen = epochs * images * rungs[number].share
        seconds += SECONDS_PER_RUNG + seen * estimated_seconds(macs, MACS_PER_SECOND)
    return seconds
