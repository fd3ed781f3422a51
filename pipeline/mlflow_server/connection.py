"""The MLflow server or database that runs go to: its address, whether it is there, the project's experiment."""

import logging
import os
import urllib.error
import urllib.request
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UserError, message_of
from pipeline.mlflow_server.first_start import first_contact, sqlite_file
from pipeline.mlflow_server.moved_project import FOLDER, follow
from pipeline.params.addresses import hide_password

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

PROBE_SECONDS = 3.0
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
}
# A run that another process started must not become ours.
_INHERITED = ("MLFLOW_RUN_ID", "MLFLOW_RUN_NAME", "MLFLOW_PARENT_RUN_ID")
_NOT_IN_ADDRESSES = frozenset("?#%")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class TrackingUnavailable(Exception):
    """The server cannot be used now; the message says why."""


@dataclass(frozen=True)
class Server:
    """A reachable MLflow server, and the experiment of this project in it."""

    uri: str
    client: "MlflowClient"
    experiment_id: str


def tracking_uri(root: Path) -> str:
    """MLFLOW_TRACKING_URI, or the database mlflow.db in the repository's root.

    It is absolute, since MLflow keeps one connection for each address, also after the working directory has changed. An
    address would be cut at a question mark in the project's path, and the database made elsewhere: then it is
    relative to the working directory.
    """
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{_file_in_address(root / 'mlflow.db')}"


def _file_in_address(path: Path) -> str:
    absolute = path.resolve().as_posix()
    plain = absolute.isascii() and not set(absolute) & _NOT_IN_ADDRESSES
    return absolute if plain else Path(os.path.relpath(absolute)).as_posix()


def experiment_name() -> str:
    """MLFLOW_EXPERIMENT_NAME, or fovea."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "fovea"


def failures() -> tuple[type[Exception], ...]:
    """What MLflow raises when its server or database fails."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return (MlflowException, SQLAlchemyError, OSError)


def prepare_environment() -> None:
    """Make MLflow quick to give up, quiet, and free of another process's run; what the user set stays."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    for name in _INHERITED:
        os.environ.pop(name, None)
    reach_loopback_directly()


def reach_loopback_directly() -> None:
    """Keep requests to this machine away from a proxy, in this process and its children; others keep the user's."""
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in given.split(",") if host.strip()]
    if "*" not in hosts:
        exceptions = ",".join(dict.fromkeys((*hosts, *_LOOPBACK)))
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = exceptions  # libraries read the one or the other


def connect(root: Path) -> Server:
    """The server at tracking_uri(root), its experiment made if it is missing.

    Raises:
        Away: it does not answer within seconds, or refuses.
    """
    prepare_environment()
    uri = tracking_uri(root)
    _probe(uri)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        _set_address(uri)
        ignored = warnings.catch_warnings(action="ignore", category=DeprecationWarning)
        with ignored, first_contact(uri):  # the warnings are of MLflow's own use of SQLAlchemy
            from mlflow.tracking import MlflowClient

            client = MlflowClient(uri)
            return Server(uri, client, _experiment(client, uri, root))
    except failures() as error:
        raise TrackingUnavailable(f"MLflow at {hide_password(uri)} cannot be used: {message_of(error)}") from error


def require_server(
    root: Path, remedy: str = "start it, or set MLFLOW_TRACKING_URI to the address of one that runs"
) -> Server:
    """As `connect`, for work that cannot go on without MLflow.

    Args:
        root: the repository's root.
        remedy: what the user can do.

    Raises:
        UserError: MLflow cannot be used.
    """
    try:
        return connect(root)
    except TrackingUnavailable as reason:
        raise UserError(f"{reason}; {remedy}") from None


def _set_address(uri: str) -> None:
    """Tell MLflow the address, without the environment variable that it would leave for what comes after."""
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
        # A database keeps files beside itself; a server knows where it keeps them.
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
            f"MLflow at {hide_password(uri)}: experiment {name!r} is deleted; restore it with "
            f"`mlflow experiments restore --experiment-id {experiment.experiment_id}`, or name another one "
            "in MLFLOW_EXPERIMENT_NAME"
        )
    return str(experiment.experiment_id)


def _probe(uri: str) -> None:
    """Ask an HTTP server whether it is there; any answer will do."""
    if not uri.startswith(("http://", "https://")):
        return
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=PROBE_SECONDS).close()
    except urllib.error.HTTPError as answer:
        answer.close()
    except (OSError, ValueError) as error:
        raise TrackingUnavailable(f"MLflow at {hide_password(uri)} does not answer: {message_of(error)}") from error
