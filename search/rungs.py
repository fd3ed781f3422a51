"""Where the rungs are, which trials pass them, and the states they leave."""

from pathlib import Path

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner
from optuna.trial import FrozenTrial, create_trial

from pipeline.params import SearchParams

_NOTE = "completed_rung_"  # system attributes in which Optuna's successive halving notes the values at its rungs


def rung_epochs(settings: SearchParams) -> tuple[int, ...]:
    """The epoch that ends each rung: `min_epochs` times the powers of `reduction_factor`, then `epochs`."""
    epochs = []
    epoch = settings.min_epochs
    while epoch < settings.epochs:
        epochs.append(epoch)
        epoch *= settings.reduction_factor
    return (*epochs, settings.epochs)


def make_pruner(settings: SearchParams) -> BasePruner:
    """Optuna's pruner as params.yaml names it."""
    if settings.pruner == "none":
        return NopPruner()
    return HyperbandPruner(settings.min_epochs, settings.epochs, settings.reduction_factor)


def lay_out_brackets(study: optuna.Study) -> None:
    """Have Hyperband lay out its brackets now.

    It would do so at its first decision, and put every trial asked before into bracket 0: then the first trial after
    a resume would be asked with other neighbours than in the undisturbed study.
    """
    study.pruner.prune(study, create_trial(state=optuna.trial.TrialState.RUNNING))


def pruned_before(study: optuna.Study, trial: FrozenTrial) -> bool | None:
    """What the pruner decided about the last report of a trial that an earlier process left; None: it was not asked.

    Successive halving notes a trial's value at each rung in the storage when it decides, and would take its own note
    for a competitor's if it were asked again. So it is asked in a copy of the study without this trial's notes, report
    by report.
    """
    copy = optuna.create_study(direction="maximize", study_name=study.study_name, pruner=study.pruner)
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

    def write(self, number: int, epoch: int, state: bytes) -> None:
        """Keep a state; a reader finds it whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(number, epoch)
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(state)
        temporary.replace(path)

    def read(self, number: int, epoch: int) -> bytes | None:
        """The state after an epoch; None if it is gone, and the trial has to begin again."""
        try:
            return self._path(number, epoch).read_bytes()
        except FileNotFoundError:
            return None

    def remove_before(self, number: int, epoch: int) -> None:
        """Drop the states of a trial's earlier rungs."""
        for path in self._folder.glob(f"{number}-*.npz"):
            if path != self._path(number, epoch):
                path.unlink(missing_ok=True)

    def remove(self, number: int) -> None:
        """Drop all states of a trial."""
        for path in self._folder.glob(f"{number}-*"):
            path.unlink(missing_ok=True)

    def _path(self, number: int, epoch: int) -> Path:
        return self._folder / f"{number}-{epoch}.npz"
