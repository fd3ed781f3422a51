"""Errors of the database of studies, as messages for users."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from alembic.util import CommandError
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from pipeline.errors import UserError, message_of
from pipeline.params.addresses import hide_password, hide_password_in

# Overrides search.storage, for addresses that must not be written to a file.
STORAGE_VARIABLE = "FOVEA_STORAGE"


@contextmanager
def opening_errors(address: str) -> Iterator[None]:
    """Like `storage_errors`, for a block that only opens a database."""
    with storage_errors(address):
        try:
            yield
        except ValueError:
            raise StorageInternalError("the port is not a number") from None
        except ImportError as error:
            raise StorageInternalError(f"its driver cannot be imported: {error}") from None
        except RuntimeError as error:
            if "table schema" not in str(error):
                raise
            age = "an older" if "storage upgrade" in str(error) else "a newer"
            raise StorageInternalError(
                f"its tables are of {age} Optuna than the installed {optuna.__version__}"
            ) from None
        except CommandError as error:  # tables of MLflow, which are versioned in the same way
            raise StorageInternalError(f"it belongs to another program or version ({error})") from None


@contextmanager
def storage_errors(address: str) -> Iterator[None]:
    """Convert a database error in the block into a UserError that does not contain the password."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = error.__cause__  # Optuna's own message is the same for all errors of a transaction
        message = message_of(cause if isinstance(cause, SQLAlchemyError) else error)
        where = STORAGE_VARIABLE if os.environ.get(STORAGE_VARIABLE) == address else "params.yaml: search.storage"
        raise UserError(
            f"{where}: must be a database that can be opened, got {hide_password(address)}: "
            f"{hide_password_in(message, address)}; {_remedy(message, address)}"
        ) from None


def _remedy(message: str, address: str) -> str:
    """Return the advice for a database error."""
    if "an older Optuna" in message:
        return f"copy it and run `optuna storage upgrade --storage {hide_password(address)}`, or use another database"
    if "a newer Optuna" in message:
        return "update this project, or use another database"
    if "driver cannot be imported" in message and address.startswith("postgresql"):
        return "use postgresql+psycopg://…, and install the driver with `make extras EXTRAS=postgresql`"
    if "locked" in message:
        return "wait for the process that holds the lock, or stop that process"
    if "full" in message or "readonly" in message:
        return "free disk space, or make the database writable"
    if "no such table" in message or "no such column" in message or "another program" in message:
        return "restore the database from a copy, or use a different database"
    if "not a database" in message or "malformed" in message:
        return "remove the damaged file to start over"
    return "correct the address, install the driver, or start the server"
