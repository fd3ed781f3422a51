"""The pruners, and their decisions about trials of a killed process."""

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import optuna
import pytest
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.trial import TrialState

from pipeline.data.training_data import TrainingData
from pipeline.params import SearchParams
from search.study.job import Job, RungResult
from search.study.pruner import DeterministicHyperband, make_pruner, pruned_before
from tests.search.harness import StudyHarness, learn
from tests.search.study.curves import rows

ROOT = Path(__file__).resolve().parents[3]
PRUNERS = get_args(SearchParams.model_fields["pruner"].annotation)
RUNGS = (1, 3, 9)


def pruner_named(folder: Path, name: str) -> BasePruner:
    return make_pruner(StudyHarness(folder, pruner=name).settings)


def study_in_memory(pruner: BasePruner, name: str = "study") -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(study_name=name, direction="maximize", pruner=pruner)


def decisions(study: optuna.Study, trials: int = 24) -> list[tuple[int, bool]]:
    """Run trials with generated values; return the last rung of each one, and whether it was pruned there."""
    values, made = np.random.default_rng(0), []
    for _ in range(trials):
        trial, ceiling = study.ask(), values.random()
        for rung in RUNGS:
            trial.report(ceiling, rung)
            if pruned := trial.should_prune():
                break
        made.append((rung, pruned))
        study.tell(trial, None if pruned else ceiling, state=TrialState.PRUNED if pruned else TrialState.COMPLETE)
    return made


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("none", NopPruner),
        ("median", MedianPruner),
        ("successive_halving", SuccessiveHalvingPruner),
        ("hyperband", DeterministicHyperband),
    ],
)
def test_each_value_of_search_pruner_creates_its_pruner(tmp_path: Path, name: str, kind: type[BasePruner]) -> None:
    assert type(pruner_named(tmp_path, name)) is kind
    assert len(PRUNERS) == 4


def test_the_brackets_of_hyperband_do_not_depend_on_the_name_of_the_study(tmp_path: Path) -> None:
    def by_name(pruner: Callable[[], BasePruner]) -> list[list[tuple[int, bool]]]:
        return [decisions(study_in_memory(pruner(), name)) for name in ("study-1-12", "study-1-24", "study-2-12")]

    one, *others = by_name(lambda: pruner_named(tmp_path, "hyperband"))
    assert others == [one, one]
    assert len({rung for rung, pruned in one if pruned}) > 1  # there are several brackets
    one, *others = by_name(lambda: HyperbandPruner(1, 9, 3))
    assert others != [one, one]  # unlike those of Optuna


@pytest.mark.parametrize("name", ["hyperband", "successive_halving", "median"])
def test_the_decision_of_an_earlier_process_is_repeated(tmp_path: Path, name: str) -> None:
    study, values, repeated = study_in_memory(pruner_named(tmp_path, name)), np.random.default_rng(0), []
    for number in range(24):
        trial, ceiling, pruned = study.ask(), values.random(), False
        for rung in RUNGS:
            trial.report(ceiling, rung)
            if name == "successive_halving":  # it stores a value at each rung, hyperband only at some
                assert pruned_before(study, study.get_trials()[number]) is None
            pruned = trial.should_prune()
            repeated.append(pruned_before(study, study.get_trials()[number]))
            assert repeated[-1] is pruned
            if pruned:
                break
        study.tell(trial, None if pruned else ceiling, state=TrialState.PRUNED if pruned else TrialState.COMPLETE)
    assert {True, False} == set(repeated)


# Reports a value, calls the pruner, and is killed before it can act on the decision.
KILLED = """
import os, signal, sys
import optuna
from pathlib import Path
from tests.search.study.test_pruner import pruner_named

address, folder, value = sys.argv[1:]
study = optuna.load_study(study_name="study", storage=address, pruner=pruner_named(Path(folder), "successive_halving"))
trial = study.ask()
trial.report(float(value), 1)
Path(folder, "decision").write_text(str(trial.should_prune()))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("value", "decided"), [(0.1, True), (0.9, False)])
def test_a_decision_survives_a_kill_after_the_pruner_was_called(tmp_path: Path, value: float, decided: bool) -> None:
    address = f"sqlite:///{tmp_path}/optuna.db"
    pruner = pruner_named(tmp_path, "successive_halving")
    study = optuna.create_study(study_name="study", storage=address, direction="maximize", pruner=pruner)
    for _ in range(6):
        trial = study.ask()
        trial.report(0.5, 1)
        trial.should_prune()
    command = [sys.executable, "-c", KILLED, address, tmp_path, str(value)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert (tmp_path / "decision").read_text() == str(decided)
    assert pruned_before(study, study.get_trials()[-1]) is decided


@pytest.mark.slow
@pytest.mark.parametrize("pruner", PRUNERS)
def test_every_pruner_except_none_prunes(tmp_path: Path, pruner: str) -> None:
    found = rows(StudyHarness(tmp_path, trials=12, pruner=pruner).run())
    assert {row["state"] for row in found} == ({"complete"} if pruner == "none" else {"complete", "pruned"})


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["hyperband", "successive_halving", "median"])
def test_the_baseline_is_never_pruned_and_later_trials_compete_with_it(tmp_path: Path, pruner: str) -> None:
    baseline = StudyHarness(tmp_path).params.model

    def with_baseline(best: bool) -> Callable[[Job, TrainingData], RungResult]:
        def work(job: Job, data: TrainingData) -> RungResult:
            """The baseline does worse, or better, than all others at each rung."""
            outcome = learn(job, data)
            written = job.architecture.blocks == baseline.blocks and job.architecture.head == baseline.head
            added = (1.0 if best else -1.0) if written else 0.0
            history = tuple({**epoch, "val_accuracy": epoch["val_accuracy"] + added} for epoch in outcome.history)
            return replace(outcome, history=history)

        return work

    worst = rows(StudyHarness(tmp_path / "worst", with_baseline(False), trials=12, pruner=pruner).run())
    assert worst[0]["state"] == "complete"
    assert "pruned" in {row["state"] for row in worst}
    best = rows(StudyHarness(tmp_path / "best", with_baseline(True), trials=12, pruner=pruner).run())
    pruned = [sum(row["state"] == "pruned" for row in found) for found in (best, worst)]
    assert pruned[0] >= pruned[1]
