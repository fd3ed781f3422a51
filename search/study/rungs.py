"""The rungs of a study, the pruners that decide at them, and the training states stored at them."""

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

_NOTE = "completed_rung_"  # prefix of the system attributes in which Optuna's successive halving stores the values
# Number of trials that must finish before the median pruner prunes.
_MEDIAN_STARTUP = 4


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


def rungs(settings: SearchParams) -> tuple[Rung, ...]:
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


def rungs_in_words(settings: SearchParams, images: int, batch_size: int) -> str:
    """Describe the rungs in epochs and optimizer steps.

    Args:
        settings: The section `search` of params.yaml, as `with_long_rungs` returns it.
        images: Number of images in the training split.
        batch_size: Batch size of the training.
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
    """Return the share of the training images that each epoch uses."""
    found: list[float] = []
    for rung in rungs:
        found += [rung.share] * (rung.epoch - len(found))
    return tuple(found)


def expected_share(settings: SearchParams) -> float:
    """Estimate from the pruner's settings the share of a full training that a trial gets on average."""
    passing = {"none": 1.0, "median": 0.5}.get(settings.pruner, 1 / settings.reduction_factor)
    places = rungs(settings)
    starts = [0, *(rung.epoch for rung in places[:-1])]
    works = [rung.share * (rung.epoch - start) for rung, start in zip(places, starts, strict=True)]
    return sum(work * passing**number for number, work in enumerate(works)) / sum(works)


def make_pruner(settings: SearchParams) -> BasePruner:
    """Create the Optuna pruner that `search.pruner` names."""
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
    """Optuna's Hyperband, with brackets that depend only on the trial number.

    Optuna's brackets also depend on the name of the study, so that a changed word in the code or a larger number of
    trials would change the pruning. Because this class is not a HyperbandPruner, Optuna shows samplers all trials
    instead of those of one bracket, which in a small study are never enough for TPE. TPE ranks pruned trials first by
    the rung that they reached.
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
    """Return the pruner's decision about the last report of an earlier process's trial, or None if it made none.

    When successive halving decides, it stores the trial's value at each rung in the storage. If it decided again, it
    would treat that stored value as a competitor's. So the decisions are repeated, report by report, in a copy of the
    study without the stored values of this trial.
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
    """Stores the training state of each trial after its last rung, one file per trial.

    Args:
        folder: Folder of the study, such as studies/study-0123456789abcdef.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, number: int, resource: int, state: bytes) -> None:
        """Write a state atomically."""
        write_file(self._path(number, resource), state)

    def read(self, number: int, resource: int) -> bytes | None:
        """Return the state after a rung, or None if it is missing and the trial has to start over."""
        try:
            return self._path(number, resource).read_bytes()
        except FileNotFoundError:
            return None

    def remove_before(self, number: int, resource: int) -> None:
        """Delete the states of a trial's earlier rungs."""
        for path in self._folder.glob(f"{number}-*.npz"):
            if path != self._path(number, resource):
                path.unlink(missing_ok=True)

    def remove(self, numbers: Container[int]) -> None:
        """Delete all states of the given trials."""
        for path in self._folder.glob("*-*"):
            if int(path.name.partition("-")[0]) in numbers:
                path.unlink(missing_ok=True)

    def _path(self, number: int, resource: int) -> Path:
        return self._folder / f"{number}-{resource}.npz"
