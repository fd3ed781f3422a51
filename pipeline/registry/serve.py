"""Serve a registered network over HTTP, by default on the loopback interface."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import UserError
from pipeline.mlflow_server.child_server import HOST, require_free, serve_until_stopped
from pipeline.mlflow_server.connection import tracking_uri
from pipeline.mlflow_server.http_guard import guard_for
from pipeline.registry.versions import open_registry
from pipeline.terminal.console import note, say

_START_SECONDS = 120.0


def serve(name: str, root: Path, port: int, host: str = HOST, allowed_hosts: Sequence[str] = ()) -> int:
    """Serve the champion of a registered model until the server is stopped, and return its exit status.

    Args:
        name: Name of the registered model.
        root: Root folder of the repository.
        port: Port to listen on.
        host: Address to listen on. An address that other machines can reach requires a password.
        allowed_hosts: Names and addresses under which other machines address the server.

    Raises:
        UserError: MLflow cannot be used, there is no champion, the port is in use, or the password or the allowed hosts
            are missing.
    """
    guard_for(host, allowed_hosts)
    require_free(port, host)
    note("serve: starting MLflow")
    with open_registry(name, root) as registry:
        champion = registry.champion()
        if champion is None:
            raise UserError(
                f"models:/{name}@champion: there is no champion to serve; register one with `fovea run`, or with "
                "`dvc repro --force --single-item register` if everything is up to date"
            )
    arguments = ["--model-uri", champion.uri, "--allowed-hosts", *allowed_hosts]

    def ready() -> None:
        say(f"{name} version {champion.number} accepts POST on http://{host}:{port}/invocations (press Ctrl-C to stop)")

    return serve_until_stopped(
        "the server",
        "pipeline.registry.model_server",
        arguments,
        port,
        "/ping",
        _START_SECONDS,
        ready,
        host,
        MLFLOW_TRACKING_URI=tracking_uri(root),
    )
