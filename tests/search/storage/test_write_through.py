"""The driver's storage in memory equals the database."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.storage.write_through import WriteThroughStorage


@pytest.fixture
def storage(tmp_path: Path) -> WriteThroughStorage:
    return WriteThroughStorage(RDBStorage(f"sqlite:///{tmp_path}/optuna.db"))


@pytest.fixture
def study(storage: WriteThroughStorage) -> int:
    return int(storage.create_new_study([StudyDirection.MAXIMIZE], "study"))


def stored(storage: WriteThroughStorage, study: int) -> list[FrozenTrial]:
    """The trials as another process would read them."""
    database: Any = storage._storage
    return sorted(RDBStorage(str(database.url)).get_all_trials(study), key=lambda trial: trial.number)


def test_every_write_is_in_the_database_and_in_memory(storage: WriteThroughStorage, study: int) -> None:
    drawn = create_trial(
        state=TrialState.RUNNING, params={"rate": 0.1}, distributions={"rate": FloatDistribution(0.0, 1.0)},
        user_attrs={"proposal": {"filters": [8, 16]}},
    )  # fmt: skip
    first, second = storage.create_new_trial(study, drawn), storage.create_new_trial(study)
    storage.set_trial_user_attr(first, "cost", {"params": 7})
    storage.set_trial_system_attr(second, "fixed_params", {"rate": 0.5})
    storage.set_trial_intermediate_value(first, 3, 0.25)
    storage.set_trial_state_values(first, TrialState.COMPLETE, [0.75])
    known = storage.get_all_trials(study)
    assert known == stored(storage, study)
    assert [trial.state for trial in known] == [TrialState.COMPLETE, TrialState.RUNNING]
    assert storage.get_all_trials(study, states=(TrialState.RUNNING,)) == known[1:]
    assert storage.get_trial_system_attrs(second) == {"fixed_params": {"rate": 0.5}}


def test_trials_written_by_earlier_processes_are_read(storage: WriteThroughStorage, study: int, tmp_path: Path) -> None:
    storage.set_trial_user_attr(storage.create_new_trial(study), "cost", {"params": 7})
    later = WriteThroughStorage(RDBStorage(f"sqlite:///{tmp_path}/optuna.db"))
    assert later.get_all_trials(study) == storage.get_all_trials(study)


def test_a_trial_that_was_returned_does_not_change(storage: WriteThroughStorage, study: int) -> None:
    number = storage.create_new_trial(study)
    before = storage.get_trial(number)
    storage.set_trial_user_attr(number, "cost", {"params": 7})
    assert before.user_attrs == {}
    assert storage.get_trial(number).user_attrs == {"cost": {"params": 7}}


def test_trials_are_read_from_the_database_once(
    storage: WriteThroughStorage, study: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    original = RDBStorage.get_all_trials
    monkeypatch.setattr(
        RDBStorage, "get_all_trials", lambda *given, **named: reads.append(given) or original(*given, **named)
    )
    opened = optuna.load_study(study_name="study", storage=storage)  # type: ignore[arg-type]
    for _ in range(5):
        opened.tell(opened.ask(), 0.5)
        assert len(storage.get_all_trials(study)) == len(opened.trials)
    assert len(reads) == 1
