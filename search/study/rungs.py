"""Where the rungs are, which trials pass them, and the states they leave."""

import math
from collections.abc import Container
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import cast

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.trial import FrozenTrial

from pipeline.files import write_file
from pipeline.params import SearchParams

_NOTE = "completed_rung_"  # system attributes in which Optuna's successive halving notes the values at its rungs
# Trials that must have ended before the median prunes.
_MEDIAN_STARTUP = 4


@dataclass(frozen=True)
class Rung:
    """A point at which a trial is judged.

    Attributes:
        resource: what Optuna knows the rung by: `min_epochs` times a power of `reduction_factor`, at last `epochs`.
        epoch: the last epoch of the rung, from 1.
        share: of the training images that each epoch of the rung takes.
    """

    resource: int
    epoch: int
    share: float


def with_long_rungs(settings: SearchParams, images: int, batch_size: int) -> SearchParams:
    """The settings with `min_epochs` raised until the first rung has `min_steps` optimizer steps, up to `epochs`.

    On few images an epoch is a step or two, after which no candidate has learned anything to be judged by.

    Args:
        settings: as params.yaml has them.
        images: in the training split.
        batch_size: largest one that a trial may have.
    """
    epochs = settings.min_epochs
    while epochs < settings.epochs and _first_steps(settings, epochs, images, batch_size) < settings.min_steps:
        epochs += 1
    return settings.model_copy(update={"min_epochs": epochs})


def _first_steps(settings: SearchParams, epochs: int, images: int, batch_size: int) -> int:
    """Optimizer steps of a first rung of so many epochs."""
    share = 1.0 if settings.fidelity == "epochs" else epochs / settings.epochs
    return epochs * math.ceil(images * share / batch_size)


def rungs(settings: SearchParams) -> tuple[Rung, ...]:
    """All rungs, first to last.

    What grows with the resource is the number of epochs, the share of the training images, or both. Where only the
    share grows, each rung but the last has `min_epochs` epochs of its own, and the last one those that are left.
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


def rungs_in_words(settings: SearchParams, images: int, batch_size: int) -> str:
    """Where trials are judged, in epochs and optimizer steps.

    Args:
        settings: of the study, as `with_long_rungs` gives them.
        images: in the training split.
        batch_size: of the training.
    """
    found = rungs(settings)
    taken = [0, *accumulate(math.ceil(images * share / batch_size) for share in shares(found))]
    places = ", ".join(f"{rung.epoch}" for rung in found)
    steps = ", ".join(f"{taken[rung.epoch]:,}" for rung in found)
    if len(found) > 1:
        return f"rungs after epochs {places} ({steps} optimizer steps)"
    return (
        f"one rung of {places} epochs ({steps} optimizer steps): no trial is pruned, since search.min_steps is "
        f"{settings.min_steps}; raise search.epochs for more rungs"
    )


def shares(rungs: tuple[Rung, ...]) -> tuple[float, ...]:
    """The share of the training images that each epoch takes."""
    found: list[float] = []
    for rung in rungs:
        found += [rung.share] * (rung.epoch - len(found))
    return tuple(found)


def expected_share(settings: SearchParams) -> float:
    """What share of a whole training a trial is trained before it is pruned, as far as the pruner's settings tell."""
    passing = {"none": 1.0, "median": 0.5}.get(settings.pruner, 1 / settings.reduction_factor)
    places = rungs(settings)
    starts = [0, *(rung.epoch for rung in places[:-1])]
    works = [rung.share * (rung.epoch - start) for rung, start in zip(places, starts, strict=True)]
    return sum(work * passing**number for number, work in enumerate(works)) / sum(works)


def make_pruner(settings: SearchParams) -> BasePruner:
    """Optuna's pruner as params.yaml names it."""
    match settings.pruner:
        case "none":
            return NopPruner()
        case "median":
            return MedianPruner(n_startup_trials=_MEDIAN_STARTUP)
        case "successive_halving":
            return SuccessiveHalvingPruner(settings.min_epochs, settings.reduction_factor)
        case "hyperband":
            return DeterministicHyperband(settings.min_epochs, settings.epochs, settings.reduction_factor)


class DeterministicHyperband(BasePruner):
    """Optuna's Hyperband, with brackets that follow from a trial's number and nothing else.

    Optuna's follow from the study's name too, so that one word changed in the code, or a study of more trials, would
    prune otherwise. And since it is no HyperbandPruner, Optuna lets samplers see all trials, not those of one bracket,
    in which a small study never has enough of them for TPE; it ranks trials by the rung that they reached first.
    """

    def __init__(self, min_resource: int, max_resource: int, reduction_factor: int) -> None:
        self._hyperband = _Numbered(min_resource, max_resource, reduction_factor)

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        return self._hyperband.prune(study, trial)


class _Numbered(HyperbandPruner):
    def _get_bracket_id(self, study: optuna.Study, trial: FrozenTrial) -> int:
        return super()._get_bracket_id(cast(optuna.Study, _Named), trial)


class _Named:
    study_name = "hyperband"


def pruned_before(study: optuna.Study, trial: FrozenTrial) -> bool | None:
    """What the pruner decided about the last report of a trial that an earlier process left; None: it was not asked.

    Successive halving notes a trial's value at each rung in the storage when it decides, and would take its own note
    for a competitor's if it were asked again. So it is asked in a copy of the study without this trial's notes, report
    by report.
    """
    copy = optuna.create_study(direction=study.direction, study_name=study.study_name, pruner=study.pruner)
    for each in study.get_trials(deepcopy=True):
        if each.number == trial.number:
            each.system_attrs = {key: value for key, value in each.system_attrs.items() if not key.startswith(_NOTE)}
            each.intermediate_values = {}
        copy.add_trial(each)
    pruned = False
    for epoch, value in sorted(trial.intermediate_values.items()):
        replayed = copy.get_trials(deepcopy=True)[trial.number]
        replayed.intermediate_values = {epoch: value}
        pruned = study.pruner.prune(copy, replayed)
    noted = copy.get_trials(deepcopy=False)[trial.number]
    return pruned if _notes(noted) == _notes(trial) else None


def _notes(trial: FrozenTrial) -> dict[str, object]:
    return {key: value for key, value in trial.system_attrs.items() if key.startswith(_NOTE)}


class RungStates:
    """The state in which each running trial left its last rung, a file each.

    Args:
        folder: of the study, such as studies/study-0123456789abcdef.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, number: int, resource: int, state: bytes) -> None:
        """Keep a state; a reader finds it whole or not at all."""
        write_file(self._path(number, resource), state)

    def read(self, number: int, resource: int) -> bytes | None:
        """The state after a rung; None if it is gone, and the trial has to begin again."""
        try:
            return self._path(number, resource).read_bytes()
        except FileNotFoundError:
            return None

    def remove_before(self, number: int, resource: int) -> None:
        """Drop the states of a trial's earlier rungs."""
        for path in self._folder.glob(f"{number}-*.npz"):
            if path != self._path(number, resource):
                path.unlink(missing_ok=True)

    def remove(self, numbers: Container[int]) -> None:
        """Drop all states of some trials."""
        for path in self._folder.glob("*-*"):
            if int(path.name.partition("-")[0]) in numbers:
                path.unlink(missing_ok=True)

    def _path(self, number: int, resource: int) -> Path:
        return self._folder / f"{number}-{resource}.npz"
