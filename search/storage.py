"""The database in which studies live."""

import fcntl
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote_plus

import optuna
from optuna.exceptions import StorageInternalError
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import RDBStorage
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from pipeline.params.search import without_password
from pipeline.terminal import UserError
from search.job import Epoch
from search.results import Direction, read_trial


def open_study(
    name: str, address: str, sampler: BaseSampler, pruner: BasePruner, directions: Sequence[Direction] = ("maximize",)
) -> optuna.Study:
    """The study of that name, new or with its earlier trials.

    Args:
        name: of the study.
        address: of the database.
        sampler: asks for candidates.
        pruner: ends trials early.
        directions: `minimize` or `maximize` for each objective.

    Raises:
        UserError: the storage cannot be opened.
    """
    with storage_errors(address):
        return optuna.create_study(
            study_name=name,
            storage=open_storage(address),
            sampler=sampler,
            pruner=pruner,
            directions=list(directions),
            load_if_exists=True,
        )


def open_storage(address: str) -> RDBStorage:
    """The database with Optuna's tables, made where it is missing.

    Raises:
        UserError: it cannot be opened.
    """
    with storage_errors(address):
        try:
            url = make_url(address)
        except ValueError:
            raise StorageInternalError("its port is no number") from None
        sqlite = url.get_backend_name() == "sqlite"
        if sqlite and url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        # A server may close connections that idle while a rung trains.
        try:
            storage = RDBStorage(address, engine_kwargs=None if sqlite else {"pool_pre_ping": True})
        except RuntimeError as error:  # tables of another version of Optuna
            raise StorageInternalError(str(error)) from None
        if sqlite:
            _commit_fast(storage)
        return storage


def remembered_epochs(study: optuna.Study, base: str) -> dict[tuple[int, str], tuple[Epoch, ...]]:
    """What studies that differ in their number of trials only have trained, by trial and digest of its candidate.

    Args:
        study: the one that is to run.
        base: what the names of all of them begin with.
    """
    found: dict[tuple[int, str], tuple[Epoch, ...]] = {}
    storage = study._storage
    for name in optuna.get_all_study_names(storage):
        if not name.startswith(f"{base}-") or name == study.study_name:
            continue
        for trial in storage.get_all_trials(storage.get_study_id_from_name(name), deepcopy=False):
            result = read_trial(trial)
            if result is not None and result.state != "reused" and result.history:
                key = trial.number, result.candidate.digest
                found[key] = max(found.get(key, ()), result.history, key=len)
    return found


@contextmanager
def storage_errors(address: str) -> Iterator[None]:
    """Turn what a database says within the block into a UserError without its password."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError, ModuleNotFoundError) as error:
        first_line = (str(error).splitlines() or [""])[0]
        raise UserError(
            f"params.yaml: search.storage: must be a database that can be opened, got {without_password(address)}: "
            f"{_redacted(first_line, address)}; correct the address, start the server, or remove a damaged file to "
            "begin anew"
        ) from None


@contextmanager
def only_driver(folder: Path) -> Iterator[None]:
    """Hold a study for this process; the system lets go of it however the process ends.

    Raises:
        UserError: another process runs the study.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{folder.name} must have one driver, but another process is running it; wait for it, or stop it"
            ) from None
        try:
            yield
        except UserError:
            if [path.name for path in folder.iterdir()] == ["lock"]:  # nothing came of it
                shutil.rmtree(folder)
            raise


def _commit_fast(storage: RDBStorage) -> None:
    """Let SQLite commit without waiting for the disk: a kill loses nothing, a power failure the last trials."""

    def on_connect(connection, _) -> None:  # type: ignore[no-untyped-def]
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    event.listen(storage.engine, "connect", on_connect)
    storage.engine.dispose()  # connections made before this know nothing of it


def _redacted(text: str, address: str) -> str:
    """A database's message without the address's password."""
    text = text.replace(address, without_password(address))
    try:
        url = make_url(address)
    except (SQLAlchemyError, ValueError):
        return text
    for secret in (url.password, *(value for key, value in url.query.items() if "password" in key.lower())):
        if secret:
            text = text.replace(str(secret), "***").replace(quote_plus(str(secret)), "***")
    return text
