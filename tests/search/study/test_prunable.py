"""A study stays consistent with the study that prunes its trials."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from search.study.prunable import PRUNING, PrunableStudy


def open_pair(folder: Path, *objectives: str) -> PrunableStudy:
    """The pair in a database, as each process opens it."""

    def create(**settings: Any) -> optuna.Study:
        return optuna.create_study(storage=f"sqlite:///{folder}/optuna.db", load_if_exists=True, **settings)

    return PrunableStudy(create, "study", optuna.samplers.RandomSampler(seed=0), objectives)


def drawn(trial: optuna.Trial) -> dict[str, Any]:
    return {"rate": trial.suggest_float("rate", 0.0, 1.0)}


def test_with_one_objective_the_study_prunes_itself(tmp_path: Path) -> None:
    pair = open_pair(tmp_path, "val_loss")
    assert pair.pruning is pair.study
    assert pair.study.direction.name == "MINIMIZE"
    trial = pair.ask((), drawn)
    assert pair.pruning_trial(trial) is trial


def test_with_several_objectives_the_first_one_prunes_in_a_separate_study(tmp_path: Path) -> None:
    pair = open_pair(tmp_path, "val_accuracy", "params")
    assert pair.pruning.study_name == f"{PRUNING}study"
    assert [side.name for side in pair.pruning.directions] == ["MAXIMIZE"]
    trials = [pair.ask((), drawn) for _ in range(3)]
    for trial in reversed(trials):  # in any order
        twin = pair.pruning_trial(trial)
        assert twin.number == trial.number
        twin.report(0.5 + trial.number / 10, step=2)
    assert [(trial.number, reported) for trial, reported in pair.recalled()] == [(0, 2), (1, 2), (2, 2)]
    pair.tell(trials[0], pair.pruning_trial(trials[0]), TrialState.COMPLETE, (0.5, 100.0))
    pair.tell(trials[1], pair.pruning_trial(trials[1]), TrialState.PRUNED, None)
    later = open_pair(tmp_path, "val_accuracy", "params")
    assert [trial.state.name for trial in later.study.trials] == ["COMPLETE", "PRUNED", "RUNNING"]
    assert [trial.state.name for trial in later.pruning.trials] == ["COMPLETE", "PRUNED", "RUNNING"]
    assert later.study.trials[0].values == [0.5, 100.0]
    assert later.pruning.trials[0].value == 0.5
    assert [trial.number for trial in later.left_running()] == [2]


def test_a_trial_that_was_not_trained_does_not_take_part_in_pruning(tmp_path: Path) -> None:
    pair = open_pair(tmp_path, "val_accuracy", "params")
    trial = pair.ask((), drawn)
    pair.tell(trial, pair.pruning_trial(trial), TrialState.COMPLETE, (0.9, 100.0))  # reused from an equal one
    assert [each.state.name for each in pair.pruning.trials] == ["FAIL"]
    assert pair.study.trials[0].values == [0.9, 100.0]


def test_a_trial_is_stored_completely_or_not_at_all(tmp_path: Path) -> None:
    pair = open_pair(tmp_path, "val_accuracy")

    def killed(trial: optuna.Trial) -> dict[str, Any]:
        drawn(trial)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pair.ask((), killed)
    assert open_pair(tmp_path, "val_accuracy").study.trials == []
    pair.ask((), drawn)
    (trial,) = open_pair(tmp_path, "val_accuracy").study.trials
    assert trial.user_attrs == {"rate": trial.params["rate"]}


def test_the_first_trials_have_the_given_values(tmp_path: Path) -> None:
    pair = open_pair(tmp_path, "val_accuracy")
    given = ({"rate": 0.25}, {"rate": 0.75})
    assert [pair.ask(given, drawn).params["rate"] for _ in range(3)][:2] == [0.25, 0.75]
    assert [optuna.Trial(pair.study, each._trial_id).number for each in pair.study.trials] == [0, 1, 2]
