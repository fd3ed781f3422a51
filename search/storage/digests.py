"""Digests of what a study recorded, with which later processes recognise rows that were changed or removed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import StudyModel, StudySystemAttributeModel
from optuna.trial import FrozenTrial, TrialState

from pipeline.errors import UserError, shown_first
from pipeline.params.addresses import hide_password

# Prefix of the study's system attributes that hold digests: of a finished trial, by number, and of a user attribute.
_PREFIX = "digest "

_STATES = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)  # that a study writes


def key_of(what: int | str) -> str:
    """Return the system attribute of a study that holds the digest of a trial, by number, or of a user attribute."""
    return f"{_PREFIX}{what}"


_distribution_json = cache(distribution_to_json)  # a study has few distributions


def content_digest(content: Any) -> str:
    """Return 16 hexadecimal digits for a value that can be written as JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def trial_digest(trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> str:
    """Return the digest of a trial that ends with a state and values. Times are not part of it."""
    return content_digest(
        [
            state.name,
            None if values is None else [float(value) for value in values],
            trial.params,
            {name: _distribution_json(each) for name, each in trial.distributions.items()},
            trial.user_attrs,
            trial.system_attrs,
            trial.intermediate_values,
        ]
    )


def add_digest(storage: RDBStorage, study_id: int, what: int | str, digest: str) -> None:
    """Add a digest to the next transaction of this thread, so that it is written together with its subject."""
    session, key = storage.scoped_session(), key_of(what)
    row = StudySystemAttributeModel.find_by_study_and_key(StudyModel(study_id=study_id), key, session)
    if row is None:
        row = StudySystemAttributeModel(study_id=study_id, key=key)
        session.add(row)
    row.value_json = json.dumps(digest)


def read_trials(storage: RDBStorage, study_id: int) -> list[FrozenTrial]:
    """Return the trials of a study in order, after they were compared with their digests.

    Raises:
        UserError: Something else than the study changed or removed its rows.
    """
    digests = _digests(storage, study_id)
    while True:  # another process may finish trials of this study meanwhile
        trials = sorted(storage.get_all_trials(study_id, deepcopy=False), key=lambda trial: trial.number)
        before, digests = digests, _digests(storage, study_id)
        if before == digests:
            break
    wrong = _differences(trials, digests)
    if wrong:
        raise damaged(storage, study_id, shown_first(wrong))
    return trials


def add_missing_digests(storage: RDBStorage, study_id: int) -> int:
    """Add digests to the trials of an earlier version, which wrote none. Return the number of these trials."""
    if _digests(storage, study_id):
        return 0
    ended = [trial for trial in read_trials(storage, study_id) if trial.state.is_finished()]
    with storage.scoped_session() as session, session.begin():
        for trial in ended:
            digest = json.dumps(trial_digest(trial, trial.state, trial.values))
            session.add(StudySystemAttributeModel(study_id=study_id, key=key_of(trial.number), value_json=digest))
    return len(ended)


def check_user_attrs(storage: RDBStorage, study_id: int) -> None:
    """Compare the user attributes of a study with their digests.

    Raises:
        UserError: An attribute was changed or removed.
    """
    attributes, digests = storage.get_study_user_attrs(study_id), _digests(storage, study_id)
    for key, expected in digests.items():
        what = key.removeprefix(_PREFIX)
        if not what.isdigit() and (what not in attributes or content_digest(attributes[what]) != expected):
            raise damaged(storage, study_id, f"another value of the attribute {what}")


def damaged(storage: RDBStorage, study_id: int, what: str) -> UserError:
    """Return the error for a study whose rows are not those that it wrote."""
    name = storage.get_study_name_from_id(study_id)
    return UserError(
        f"{name}: the rows of a study must be as the study wrote them, got {what}; restore the database from a copy, "
        f"or run `optuna delete-study --study-name {name} --storage {hide_password(storage.url)}` and then "
        "`fovea search`, which starts the study over"
    )


def _digests(storage: RDBStorage, study_id: int) -> dict[str, str]:
    attributes = storage.get_study_system_attrs(study_id)
    return {key: value for key, value in attributes.items() if key.startswith(_PREFIX)}


def _differences(trials: Sequence[FrozenTrial], digests: Mapping[str, str]) -> list[str]:
    """Return what differs, in words: a removed trial, another state, another content."""
    subjects = {key.removeprefix(_PREFIX): digest for key, digest in digests.items()}
    expected = {int(subject): digest for subject, digest in subjects.items() if subject.isdigit()}
    present = {trial.number: trial for trial in trials}
    count = max([*expected, *present], default=-1) + 1
    found = [f"trial {number} missing" for number in range(count) if number not in present]
    for number, trial in present.items():
        ended = trial.state.is_finished()
        if trial.state not in _STATES or (expected and ended != (number in expected)):
            found.append(f"trial {number} with the state {trial.state.name}")
        elif number in expected and trial_digest(trial, trial.state, trial.values) != expected[number]:
            found.append(f"trial {number} with other values")
    return found
