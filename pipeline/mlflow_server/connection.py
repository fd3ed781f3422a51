"""Connect to the MLflow server or database that stores the runs, and to the project's experiment in it."""

import logging
import os
import sqlite3
import urllib.error
import urllib.request
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UserError, message_of
from pipeline.mlflow_server.check_database import connection_defect, database_defect
from pipeline.mlflow_server.create_database import first_contact, sqlite_file
from pipeline.mlflow_server.relocate_artifacts import FOLDER, follow
from pipeline.params.addresses import hide_password
from pipeline.terminal.causes import cause_outside

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

PROBE_SECONDS = 3.0
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # a repeated request could create a second run or version
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# The project must not log to a run that another process started.
_INHERITED = ("MLFLOW_RUN_ID", "MLFLOW_RUN_NAME", "MLFLOW_PARENT_RUN_ID")
_NOT_IN_ADDRESSES = frozenset("?#%")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class TrackingUnavailable(Exception):
    """The MLflow server cannot be used at present; the message contains the reason.

    Attributes:
        has_remedy: Whether the message also contains the remedy.
    """

    def __init__(self, message: str, has_remedy: bool = False) -> None:
        super().__init__(message)
        self.has_remedy = has_remedy


@dataclass(frozen=True)
class Server:
    """A reachable MLflow server.

    Attributes:
        uri: Its tracking URI.
        client: Client of the server.
        experiment_id: ID of the project's experiment.
    """

    uri: str
    client: "MlflowClient"
    experiment_id: str


def tracking_uri(root: Path) -> str:
    """Return MLFLOW_TRACKING_URI, or the URI of the database mlflow.db in the repository's root.

    The path of the database is absolute, because MLflow caches one connection per URI, even if the working directory
    changes. If the path of the project contains a character that ends a URI's path, such as a question mark, the path
    of the database is relative to the working directory; otherwise MLflow would create the database elsewhere.
    """
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{_file_in_address(root / 'mlflow.db')}"


def _file_in_address(path: Path) -> str:
    absolute = Path(os.path.realpath(path)).as_posix()  # also of a link to itself, which `_check` reports
    plain = absolute.isascii() and not set(absolute) & _NOT_IN_ADDRESSES
    return absolute if plain else Path(os.path.relpath(absolute)).as_posix()


def experiment_name() -> str:
    """Return MLFLOW_EXPERIMENT_NAME, or `fovea` if it is not set."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "fovea"


def failures() -> tuple[type[Exception], ...]:
    """Return the exceptions that MLflow raises if its server or database fails."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    # An ImportError if the driver of a database is not installed.
    return (MlflowException, SQLAlchemyError, sqlite3.Error, OSError, UnicodeDecodeError, ImportError)


def prepare_environment() -> None:
    """Set environment variables for short timeouts and little output, unless the user set them; unset a run's ID."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"  # pickled models can run any code
    for name in _INHERITED:
        os.environ.pop(name, None)
    reach_loopback_directly()


def reach_loopback_directly() -> None:
    """Exclude the loopback interface from the user's proxy settings, for this process and its children."""
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in given.split(",") if host.strip()]
    if "*" not in hosts:
        exceptions = ",".join(dict.fromkeys((*hosts, *_LOOPBACK)))
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = exceptions  # some libraries read only one of them


def connect(root: Path) -> Server:
    """Connect to the server at `tracking_uri(root)`, and create the project's experiment if it is missing.

    Raises:
        TrackingUnavailable: The server does not respond within a few seconds, or returns an error.
    """
    prepare_environment()
    uri = tracking_uri(root)
    _probe(uri)
    _check(uri)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it logs traces of what it raises
    try:
        _set_address(uri)
        ignored = warnings.catch_warnings(action="ignore", category=DeprecationWarning)
        with ignored, first_contact(uri):  # the warnings are about MLflow's own use of SQLAlchemy
            from mlflow.tracking import MlflowClient

            client = MlflowClient(uri)
            return Server(uri, client, _experiment(client, uri, root))
    except failures() as error:
        outside = cause_outside(error)
        message = f"MLflow at {hide_password(uri)} cannot be used: {outside or message_of(error)}"
        raise TrackingUnavailable(message, has_remedy=outside is not None) from error


def require_server(
    root: Path, remedy: str = "start it, or set MLFLOW_TRACKING_URI to the address of a running server"
) -> Server:
    """Connect like `connect`, but raise a UserError, for commands that require MLflow.

    Args:
        root: Root folder of the repository.
        remedy: End of the error message: what the user can do.

    Raises:
        UserError: MLflow cannot be used.
    """
    try:
        return connect(root)
    except TrackingUnavailable as reason:
        raise UserError(str(reason) if reason.has_remedy else f"{reason}; {remedy}") from None


def _set_address(uri: str) -> None:
    """Set MLflow's tracking and registry URI without leaving MLFLOW_TRACKING_URI in the environment."""
    import mlflow

    given = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    if given is None:
        os.environ.pop("MLFLOW_TRACKING_URI", None)


def _experiment(client: "MlflowClient", uri: str, root: Path) -> str:
    from mlflow.exceptions import MlflowException

    name = experiment_name()
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        # With a database the files are stored next to it; a server determines its own location.
        location = None if uri.startswith("http") else (root / FOLDER).resolve().as_uri()
        try:
            return client.create_experiment(name, location, {"mlflow.experimentKind": "custom_model_development"})
        except MlflowException:
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    database = sqlite_file(uri)
    if database is not None:
        follow(database, experiment.artifact_location)
    if experiment.lifecycle_stage != "active":
        raise TrackingUnavailable(
            f"MLflow at {hide_password(uri)}: experiment {name!r} has been deleted; restore it with "
            f"`mlflow experiments restore --experiment-id {experiment.experiment_id}`, or set MLFLOW_EXPERIMENT_NAME "
            "to another name",
            has_remedy=True,
        )
    return str(experiment.experiment_id)


def _check(uri: str) -> None:
    database = sqlite_file(uri)
    defect = None if database is None else database_defect(database)
    if defect is not None:
        raise TrackingUnavailable(f"{database}: {defect}", has_remedy=True)
    if (reason := connection_defect(uri)) is not None:
        raise TrackingUnavailable(f"MLflow at {hide_password(uri)} cannot be used: {reason}", has_remedy=True)


def _probe(uri: str) -> None:
    """Check that an HTTP server responds; any status code is accepted."""
    if not uri.startswith(("http://", "https://")):
        return
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=PROBE_SECONDS).close()  # noqa: S310  # http, see above
    except urllib.error.HTTPError as response:
        response.close()
    except (OSError, ValueError) as error:
        raise TrackingUnavailable(f"MLflow at {hide_password(uri)} does not respond: {message_of(error)}") from error
