"""The database in which studies live."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import RDBStorage
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from pipeline.terminal import UserError


def open_study(name: str, address: str, sampler: BaseSampler, pruner: BasePruner) -> optuna.Study:
    """The study of that name, new or with its earlier trials.

    Raises:
        UserError: the storage cannot be opened.
    """
    with _storage_errors(address):
        return optuna.create_study(
            study_name=name,
            storage=open_storage(address),
            sampler=sampler,
            pruner=pruner,
            direction="maximize",
            load_if_exists=True,
        )


def open_storage(address: str) -> RDBStorage:
    """The database with Optuna's tables, made where it is missing.

    Raises:
        UserError: it cannot be opened.
    """
    with _storage_errors(address):
        url = make_url(address)
        if url.get_backend_name() == "sqlite" and url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        storage = RDBStorage(address)
        if url.get_backend_name() == "sqlite":
            _commit_fast(storage)
        return storage


@contextmanager
def _storage_errors(address: str) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, ImportError, OSError, RuntimeError) as error:
        first_line = (str(error).splitlines() or [""])[0]
        raise UserError(
            f"params.yaml: search.storage: must be a database that can be opened, got {_without_password(address)}: "
            f"{first_line}; correct the address, or remove a damaged file to begin anew"
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


def _without_password(address: str) -> str:
    try:
        return make_url(address).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return address
