"""The database in which studies live."""

import os
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.exceptions import StorageInternalError
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb.models import TrialParamModel
from optuna.trial import TrialState
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from pipeline.errors import UserError, message_of
from pipeline.params import SearchParams
from pipeline.params.addresses import hide_password, hide_password_in
from search.storage.write_through import WriteThroughStorage
from search.study.job import Epoch
from search.study.prunable import PRUNING
from search.study.results import Direction, TrialResult, read_trial

# Wins over search.storage, for addresses that must not stand in a file.
STORAGE_VARIABLE = "FOVEA_STORAGE"


def storage_address(settings: SearchParams) -> str:
    """Where the study is stored."""
    return os.environ.get(STORAGE_VARIABLE) or settings.storage


def open_study(
    storage: RDBStorage, pruner: BasePruner, study_name: str, sampler: BaseSampler, directions: Sequence[Direction]
) -> optuna.Study:
    """The study of that name, new or with its earlier trials.

    Args:
        storage: where it is.
        pruner: ends trials early.
        study_name: its name.
        sampler: asks for candidates.
        directions: `minimize` or `maximize` for each objective.
    """
    return optuna.create_study(
        study_name=study_name,
        storage=typing.cast(BaseStorage, WriteThroughStorage(storage)),
        sampler=sampler,
        pruner=pruner,
        directions=list(directions),
        load_if_exists=True,
    )


def set_aside(name: str, storage: RDBStorage) -> None:
    """Let a study with failed trials begin anew; it remembers what it has trained, and is kept under another name.

    Args:
        name: of the study.
        storage: where it is.

    Raises:
        UserError: there is no such study.
    """
    names = optuna.get_all_study_names(storage)
    if name not in names:
        raise UserError(f"{name} must have begun, so that failed trials can be tried again; run `fovea search`")
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
    """The database with Optuna's tables, made where it is missing.

    Raises:
        UserError: it cannot be opened.
    """
    with opening_errors(address):
        url = make_url(address)
        sqlite = url.get_backend_name() == "sqlite"
        if sqlite and url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        # A server may close connections that idle while a rung trains.
        storage = _Database(address, engine_kwargs=None if sqlite else {"pool_pre_ping": True})
        if sqlite:
            _commit_fast(storage)
        return storage


class _Database(RDBStorage):
    """Optuna's, in which the variables of a new trial are written at once.

    Optuna asks two questions before each variable, 0.8 ms together: whether the trial is still open, and whether the
    range is that of earlier trials. Here trials are made with all their variables, and a study's name tells its ranges.
    """

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


def cached_histories(study: optuna.Study, base: str) -> dict[tuple[int, str], tuple[Epoch, ...]]:
    """What studies that differ in their number of trials only have trained, by trial and digest of its candidate.

    Args:
        study: the one that is to run.
        base: what the names of all of them begin with.
    """
    found: dict[tuple[int, str], tuple[Epoch, ...]] = {}
    for result in _trained_elsewhere(study, base):
        key = result.number, result.candidate.digest
        found[key] = max(found.get(key, ()), result.history, key=len)
    return found


Times = Mapping[tuple[int, str], tuple[float, float]]


def training_times(study: optuna.Study, base: str) -> Times:
    """When the trainings that this study takes over began and ended, by trial and digest of its candidate.

    Args:
        study: the one that is to run.
        base: what the names of all of them begin with.
    """
    found: dict[tuple[int, str], tuple[float, float]] = {}
    for result in _trained_elsewhere(study, base):
        if result.seconds > 0 and result.ended is not None:  # trained there, and not taken over there, too
            found[result.number, result.candidate.digest] = result.started, result.ended
    return found


def times_of(result: TrialResult, earlier: Times) -> tuple[float, float | None]:
    """When the training of a trial began and ended; of one that was taken over, when it was trained."""
    own = result.started, result.ended
    if result.history and result.seconds == 0.0:
        return earlier.get((result.number, result.candidate.digest), own)
    return own


def _trained_elsewhere(study: optuna.Study, base: str) -> Iterator[TrialResult]:
    """The trials with figures of the studies that differ from this one in their number of trials only."""
    storage = study._storage
    for name in optuna.get_all_study_names(storage):
        if not name.startswith(f"{base}-") or name == study.study_name:
            continue
        for trial in storage.get_all_trials(storage.get_study_id_from_name(name), deepcopy=False):
            result = read_trial(trial)
            if result is not None and result.state != "reused" and result.history:
                yield result


@contextmanager
def opening_errors(address: str) -> Iterator[None]:
    """As storage_errors, for a block that does nothing but open a database."""
    with storage_errors(address):
        try:
            yield
        except ValueError:
            raise StorageInternalError("its port is no number") from None
        except (RuntimeError, ImportError) as error:  # tables of another version of Optuna; a driver that is missing
            raise StorageInternalError(str(error)) from None


@contextmanager
def storage_errors(address: str) -> Iterator[None]:
    """Turn what a database says within the block into a UserError without its password."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        message = message_of(error)
        where = STORAGE_VARIABLE if os.environ.get(STORAGE_VARIABLE) == address else "params.yaml: search.storage"
        raise UserError(
            f"{where}: must be a database that can be opened, got {hide_password(address)}: "
            f"{hide_password_in(message, address)}; {_remedy(message, address)}"
        ) from None


def _remedy(message: str, address: str) -> str:
    """What to do about a database's message."""
    if "table schema" in message:
        return "upgrade its tables, or name another database"
    if "DB access module" in message and address.startswith("postgresql"):
        return "write postgresql+psycopg://…, and install the driver with `make extras EXTRAS=postgresql`"
    if "locked" in message:
        return "wait for the process that holds it, or stop that"
    if "full" in message or "readonly" in message:
        return "make room, or make it writable"
    if "not a database" in message or "malformed" in message:
        return "remove the damaged file to begin anew"
    return "correct the address, install its driver, or start the server"


def _commit_fast(storage: RDBStorage) -> None:
    """Let SQLite commit without waiting for the disk: a kill loses nothing, a power failure the last trials."""

    def on_connect(connection, _) -> None:  # type: ignore[no-untyped-def]
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    event.listen(storage.engine, "connect", on_connect)
    storage.engine.dispose()  # connections made before this know nothing of it
