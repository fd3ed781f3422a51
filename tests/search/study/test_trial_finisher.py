"""Finished trials: completed, pruned, failed, rejected or reused."""

from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState

from pipeline.errors import UserError
from search.space.feasibility import Feasibility
from search.study.prunable import PrunableStudy
from search.study.pruner import make_pruner
from search.study.results import COST, PASSED, PROPOSAL, REASON, TRAINED
from search.study.tally import StudyTally
from search.study.trial_finisher import ActiveTrial, TrialFinisher
from tests.search.harness import StudyHarness

ONE, SEVERAL = ("val_accuracy",), ("val_accuracy", "params")
COSTS = {"params": 100.0, "macs": 5.0}
TOO_LARGE = Feasibility(COSTS, {"max_params": 0.5}, "100 parameters exceed search.budget.max_params of 50")


class Finishing:
    """A finisher with a study in memory, whose rungs end after the epochs 1, 3 and 9."""

    def __init__(self, objectives: tuple[str, ...] = ONE, **settings: Any) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        settings = {"objectives": objectives, "pruner": "successive_halving"} | settings
        self.config = StudyHarness(Path("unused"), **settings).config
        self.candidate = self.config.first_trials[0].candidate
        create = partial(optuna.create_study, pruner=make_pruner(self.config.settings))
        self.studies = PrunableStudy(create, "study", RandomSampler(seed=0), objectives)
        self.tally = StudyTally(self.config)
        self.finisher = TrialFinisher(self.config, self.studies, self.tally)

    def begin(self) -> ActiveTrial:
        attributes = {PROPOSAL: self.candidate.model_dump(mode="json"), COST: COSTS}
        trial = self.studies.ask((), lambda _: attributes)
        return ActiveTrial(trial, self.studies.pruning_trial(trial), self.candidate, COSTS, first_rung_cost=0.0)

    def report(self, active: ActiveTrial, accuracy: float) -> None:
        """Enter the next rung of a trial, as the driver does before it calls the finisher."""
        rung = self.config.rungs[active.done]
        active.done += 1
        history = [{"val_accuracy": accuracy} for _ in range(rung.epoch)]
        active.trial.set_user_attr(TRAINED, {"epochs": history, "seconds": float(rung.epoch)})
        active.pruning_trial.report(accuracy, rung.resource)

    def train(self, active: ActiveTrial, accuracy: float, rungs: int = 1) -> bool:
        """Train a trial for some rungs; return whether it is finished."""
        for _ in range(rungs):
            self.report(active, accuracy)
            finished = self.finisher.after_rung(active)
        return finished

    def stored(self, active: ActiveTrial) -> FrozenTrial:
        return self.studies.study.trials[active.trial.number]

    def pruning(self, active: ActiveTrial) -> FrozenTrial:
        return self.studies.frozen(active.trial.number)

    def state(self, active: ActiveTrial) -> str:
        """The state of a finished trial in the tally."""
        return self.tally.results[active.trial.number].state


@pytest.mark.parametrize(("objectives", "values"), [(ONE, [0.8]), (SEVERAL, [0.8, 100.0])])
def test_a_trial_completes_after_its_last_rung(objectives: tuple[str, ...], values: list[float]) -> None:
    study = Finishing(objectives)
    active = study.begin()
    assert [study.train(active, accuracy) for accuracy in (0.6, 0.7, 0.8)] == [False, False, True]
    assert (study.stored(active).state, study.stored(active).values) == (TrialState.COMPLETE, values)
    assert (study.pruning(active).state, study.pruning(active).value) == (TrialState.COMPLETE, 0.8)
    assert study.state(active) == "complete"
    assert study.tally.counted == 1


@pytest.mark.parametrize("objectives", [ONE, SEVERAL])
def test_a_trial_that_is_worse_than_others_is_pruned(objectives: tuple[str, ...]) -> None:
    study = Finishing(objectives)
    for accuracy in (0.7, 0.8, 0.9):
        study.train(study.begin(), accuracy, rungs=3)
    good, bad = study.begin(), study.begin()
    assert study.train(good, 0.95) is False
    assert study.stored(good).user_attrs[PASSED] == 1  # so that a later process does not decide again
    assert study.train(good, 0.95) is False
    assert study.stored(good).user_attrs[PASSED] == 3
    assert study.train(bad, 0.1) is True
    assert study.stored(bad).state == study.pruning(bad).state == TrialState.PRUNED
    assert study.stored(bad).user_attrs[REASON] == "pruned after epoch 1: others did better"
    assert PASSED not in study.stored(bad).user_attrs
    assert study.state(bad) == "pruned"


def test_the_baseline_is_never_pruned_but_others_compete_with_it() -> None:
    study = Finishing()
    baseline, *others = (study.begin() for _ in range(5))
    for active in others[:3]:
        study.train(active, 0.9)
    assert study.train(baseline, 0.1) is False
    assert study.stored(baseline).user_attrs[PASSED] == 1
    assert study.train(others[3], 0.1) is True  # it would have been pruned, like this one
    alone = Finishing()
    first, *others = (alone.begin() for _ in range(4))
    assert alone.train(first, 0.9) is False
    assert [alone.train(active, 0.5) for active in others] == [True, True, True]


def test_a_decision_that_an_earlier_process_did_not_act_on_is_repeated() -> None:
    study = Finishing()
    study.train(study.begin(), 0.9, rungs=3)
    active = study.begin()
    study.report(active, 0.1)
    assert active.pruning_trial.should_prune() is True  # here the earlier process was killed
    assert active.pruning_trial.should_prune() is False
    assert study.finisher.after_rung(active, left=study.pruning(active)) is True
    assert study.state(active) == "pruned"


@pytest.mark.parametrize("objectives", [ONE, SEVERAL])
def test_a_failed_trial_has_a_reason_and_counts(objectives: tuple[str, ...]) -> None:
    study = Finishing(objectives)
    trained, untrained = study.begin(), study.begin()
    study.train(trained, 0.5)
    for active in (trained, untrained):
        study.finisher.fail(active, "diverged: the loss is NaN")
        assert study.stored(active).state == study.pruning(active).state == TrialState.FAIL
        assert study.tally.results[active.trial.number].reason == "diverged: the loss is NaN"
        assert study.state(active) == "failed"
    assert study.tally.counted == 2


@pytest.mark.parametrize("objectives", [ONE, SEVERAL])
def test_a_candidate_that_does_not_fit_is_rejected_unless_the_user_specified_it(objectives: tuple[str, ...]) -> None:
    study = Finishing(objectives)
    baseline, drawn = study.begin(), study.begin()
    with pytest.raises(UserError, match=r"params\.yaml: model: .*but 100 parameters exceed search\.budget\.max_params"):
        study.finisher.reject(baseline, TOO_LARGE)
    assert study.stored(baseline).state == TrialState.RUNNING
    study.finisher.reject(drawn, TOO_LARGE)
    assert study.stored(drawn).state == TrialState.PRUNED
    assert study.stored(drawn).constraints == {"max_params": 0.5}
    assert study.stored(drawn).user_attrs[REASON] == TOO_LARGE.sentence
    assert study.state(drawn) == "infeasible"
    assert study.tally.counted == 0


@pytest.mark.parametrize("objectives", [ONE, SEVERAL])
@pytest.mark.parametrize("rungs", [1, 3])
def test_an_equal_candidate_gets_the_result_of_the_first_one(objectives: tuple[str, ...], rungs: int) -> None:
    study = Finishing(objectives)
    study.train(study.begin(), 0.9, rungs=3)
    original, equal = study.begin(), study.begin()
    assert study.train(original, 0.95 if rungs == 3 else 0.1, rungs) is True
    study.finisher.reuse(equal, study.tally.results[original.trial.number])
    stored, of_original = study.stored(equal), study.stored(original)
    assert stored.state == of_original.state
    assert stored.values == of_original.values
    assert stored.user_attrs[REASON] == "same candidate as trial 1, whose result is reused"
    if objectives == ONE:  # its sampler ranks trials by their reports
        assert stored.intermediate_values == of_original.intermediate_values
    else:  # in the other study it must not compete with the original
        assert (study.pruning(equal).state, study.pruning(equal).intermediate_values) == (TrialState.FAIL, {})
    reused = study.tally.results[equal.trial.number]
    assert (reused.state, reused.seconds) == ("reused", 0.0)
    assert reused.history == study.tally.results[original.trial.number].history


def test_an_equal_candidate_of_one_that_was_too_slow_is_rejected() -> None:
    limits = {"max_params": None, "max_macs": None, "max_activation_mb": None, "max_latency_ms": 2.0}
    study = Finishing(budget=limits)
    study.begin()  # the baseline
    original, equal = study.begin(), study.begin()
    original.trial.set_user_attr(COST, COSTS | {"latency_ms": 3.0})
    study.finisher.reject(original, Feasibility(COSTS, {"max_latency_ms": 0.5}, "too slow"))
    study.finisher.reuse(equal, study.tally.results[original.trial.number])
    assert study.state(equal) == "infeasible"
    assert study.stored(equal).constraints == {"max_latency_ms": 0.5}
    assert "3 ms for one image exceed search.budget.max_latency_ms of 2" in study.stored(equal).user_attrs[REASON]
