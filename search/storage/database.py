"""Open the database of studies, and read other studies from it."""

import os
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.exceptions import StorageInternalError
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb.models import BaseModel, TrialParamModel
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import NullPool, create_engine, event, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.orm import Session

from pipeline.errors import UserError, message_of, plural, shown_first
from pipeline.params import SearchParams
from pipeline.params.search import Direction
from pipeline.terminal.console import say
from search.storage.digests import add_missing_digests, damaged
from search.storage.lock import creation_lock
from search.storage.messages import STORAGE_VARIABLE, opening_errors
from search.storage.write_through import WriteThroughStorage
from search.study.finalists import recorded_finals
from search.study.job import Epoch, RungResult
from search.study.prunable import PRUNING
from search.study.results import TrialResult, read_trial


def storage_address(settings: SearchParams) -> str:
    """Return the database address of the studies."""
    return os.environ.get(STORAGE_VARIABLE) or settings.storage


def open_study(
    storage: RDBStorage, pruner: BasePruner, study_name: str, sampler: BaseSampler, directions: Sequence[Direction]
) -> optuna.Study:
    """Open a study with its earlier trials, or create it if it does not exist.

    Args:
        storage: The database.
        pruner: The pruner of the study.
        study_name: Name of the study.
        sampler: The sampler of the study.
        directions: `minimize` or `maximize` for each objective.

    Raises:
        UserError: Something else than the study changed its rows.
    """
    try:
        study = optuna.create_study(
            study_name=study_name,
            storage=typing.cast(BaseStorage, WriteThroughStorage(storage)),
            sampler=sampler,
            pruner=pruner,
            directions=list(directions),
            load_if_exists=True,
        )
    except KeyError:  # it cannot be created, because rows have its number, but it does not exist
        raise UserError(
            f"{study_name}: the rows of a study must be as the study wrote them, got none in the table studies; "
            "restore the database from a copy, or move it away and run `fovea search`, which starts the study over"
        ) from None
    found = [each.name.lower() for each in study.directions]
    if found != list(directions):
        raise damaged(storage, study._study_id, f"the directions {', '.join(found) or 'none'}")
    if count := add_missing_digests(storage, study._study_id):
        say(f"{study_name}: its {count} {plural(count, 'trial')} had no digests, so changed rows cannot be recognised")
    return study


def set_aside(name: str, storage: RDBStorage) -> None:
    """Rename a study that has failed trials, so that the next run starts a new study and reuses what was trained.

    The old study is kept as `NAME-failed-NUMBER`. A study without failed trials is left unchanged.

    Args:
        name: Name of the study.
        storage: The database.

    Raises:
        UserError: The study does not exist.
    """
    names = optuna.get_all_study_names(storage)
    if name not in names:
        raise UserError(f"--retry-failed: there is no study {name} yet; run `fovea search` first")
    if not storage.get_all_trials(storage.get_study_id_from_name(name), deepcopy=False, states=(TrialState.FAIL,)):
        return
    earlier = sum(each.startswith(f"{name}-failed-") for each in names)
    optuna.copy_study(
        from_study_name=name, from_storage=storage, to_storage=storage, to_study_name=f"{name}-failed-{earlier + 1}"
    )
    for each in (PRUNING + name, name):
        if each in names:
            optuna.delete_study(study_name=each, storage=storage)


def open_storage(address: str) -> RDBStorage:
    """Open the database, and create it and Optuna's tables if they are missing.

    A database with tables of another Optuna version stays as it is.

    Raises:
        UserError: The database cannot be opened.
    """
    with opening_errors(address):
        url = make_url(address)
        sqlite = url.get_backend_name() == "sqlite"
        if sqlite and url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        with creation_lock(url):
            storage = StudyDatabase(
                address,
                # A server may close connections that are idle while a rung trains.
                engine_kwargs=None if sqlite else {"pool_pre_ping": True},
                skip_table_creation=_has_all_tables(url),
            )
            _create_missing_indexes(storage)
        if sqlite:
            _commit_fast(storage)
        return storage


def _has_all_tables(url: URL) -> bool:
    """Return whether a process has created Optuna's tables. Optuna writes their version when all of them exist.

    A process that was killed while it created the tables leaves some of them, and Optuna creates the others.

    Raises:
        StorageInternalError: An SQLite file has tables, but none of Optuna's.
    """
    tables = inspect(create_engine(url, poolclass=NullPool)).get_table_names()
    if url.get_backend_name() == "sqlite" and tables and BaseModel.metadata.tables.keys().isdisjoint(tables):
        raise StorageInternalError(f"it has the tables of another program: {shown_first(tables)}")
    return {"version_info", "alembic_version"} <= set(tables)


def _create_missing_indexes(storage: RDBStorage) -> None:
    """Create indexes that are missing because a process was killed between a table and its indexes.

    Without them, two studies could have the same name.
    """
    for table in BaseModel.metadata.tables.values():
        for index in table.indexes:
            index.create(storage.engine, checkfirst=True)


class StudyDatabase(RDBStorage):
    """Optuna's RDBStorage, but rows that it cannot read are an error for the user, and inserting variables is quick.

    Variables of a new trial are inserted without checks. Before each variable, Optuna runs two queries that take 0.8 ms
    together: whether the trial is still running, and whether the range is the same as in earlier trials. Here, trials
    are created with all their variables, and the name of a study determines its ranges.
    """

    def _get_trials(self, study_id: int, *arguments: Any, **more: Any) -> list[FrozenTrial]:
        with self._reading(study_id):
            return super()._get_trials(study_id, *arguments, **more)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        with self._reading(study_id):
            return super().get_study_user_attrs(study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        with self._reading(study_id):
            return super().get_study_system_attrs(study_id)

    @contextmanager
    def _reading(self, study_id: int) -> Iterator[None]:
        try:
            yield
        except (LookupError, TypeError, ValueError) as error:
            raise damaged(self, study_id, f"rows that Optuna cannot read ({message_of(error)})") from None

    def _set_trial_param_without_commit(
        self,
        session: Session,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None = None,
    ) -> None:
        session.add(
            TrialParamModel(
                trial_id=trial_id,
                param_name=param_name,
                param_value=param_value_internal,
                distribution_json=distribution_to_json(distribution),
            )
        )


def cached_results(study: optuna.Study, base: str) -> dict[tuple[int, str], RungResult]:
    """Return what other studies with the same base trained, by trial number and candidate digest.

    These studies differ from the given one only in their number of trials.

    Args:
        study: The study that is about to run.
        base: Common prefix of the names of these studies.
    """
    found: dict[tuple[int, str], RungResult] = {}
    for result in _trained_elsewhere(study, base):
        key = result.number, result.candidate.digest
        if key not in found or len(result.history) > len(found[key].history):
            found[key] = RungResult(result.history, compute_dtype=result.compute_dtype)
    return found


def other_studies(study: optuna.Study, base: str) -> list[str]:
    """Return the names of the studies in the storage that have different settings, data or code, in order.

    Args:
        study: The study that is about to run.
        base: Common prefix of the names of the studies that differ only in their number of trials.
    """
    names = optuna.get_all_study_names(study._storage)
    return sorted(name for name in names if not name.startswith((f"{base}-", PRUNING)) and "-failed-" not in name)


Times = Mapping[tuple[int, str], tuple[float, float]]


def training_times(study: optuna.Study, base: str) -> Times:
    """Return when the training runs that this study reuses started and ended, by trial number and candidate digest.

    The times are in seconds since 1970.

    Args:
        study: The study that is about to run.
        base: Common prefix of the names of the studies that differ only in their number of trials.
    """
    found: dict[tuple[int, str], tuple[float, float]] = {}
    for result in _trained_elsewhere(study, base):
        if result.seconds > 0 and result.ended is not None:  # trained there, and not reused from yet another study
            found[result.number, result.candidate.digest] = result.started, result.ended
    return found


def times_of(result: TrialResult, earlier: Times) -> tuple[float, float | None]:
    """Return when the training of a trial started and ended. For a reused training, these are the original times."""
    own = result.started, result.ended
    if result.history and result.seconds == 0.0:
        return earlier.get((result.number, result.candidate.digest), own)
    return own


def earlier_finals(study: optuna.Study, base: str) -> dict[str, dict[str, Epoch]]:
    """Return the trainings of finalists that are finished, also in studies that differ only in their number of trials.

    Args:
        study: The study that is about to train its finalists.
        base: Common prefix of the names of the studies that differ only in their number of trials.
    """
    found = recorded_finals(study)
    for name in _siblings(study, base):
        for key, epochs in recorded_finals(optuna.load_study(study_name=name, storage=study._storage)).items():
            found[key] = epochs | found.get(key, {})
    return found


def _siblings(study: optuna.Study, base: str) -> list[str]:
    """Return the names of the other studies that differ from this one only in their number of trials."""
    names = optuna.get_all_study_names(study._storage)
    return [name for name in names if name.startswith(f"{base}-") and name != study.study_name]


def _trained_elsewhere(study: optuna.Study, base: str) -> Iterator[TrialResult]:
    """Yield the trials with metrics of the studies that differ from this one only in their number of trials."""
    storage = study._storage
    for name in _siblings(study, base):
        for trial in storage.get_all_trials(storage.get_study_id_from_name(name), deepcopy=False):
            result = read_trial(trial)
            if result is not None and result.state != "reused" and result.history:
                yield result


def _commit_fast(storage: RDBStorage) -> None:
    """Let SQLite commit without waiting for the disk: a kill loses nothing, a power failure only the last trials."""

    def on_connect(connection, _) -> None:  # type: ignore[no-untyped-def]
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    event.listen(storage.engine, "connect", on_connect)
    storage.engine.dispose()  # close connections that were opened without these settings
