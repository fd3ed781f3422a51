"""Serve a registered network over HTTP on the loopback interface with `mlflow models serve`."""

from pathlib import Path

from pipeline.errors import UserError
from pipeline.mlflow_server.child_server import HOST, require_free, serve_until_stopped
from pipeline.mlflow_server.connection import tracking_uri
from pipeline.registry.versions import open_registry
from pipeline.terminal.console import note, say

_START_SECONDS = 120.0


def serve(name: str, root: Path, port: int) -> int:
    """Serve the champion of a registered model until the server is stopped, and return its exit status.

    Args:
        name: Name of the registered model.
        root: Root folder of the repository.
        port: Port to listen on.

    Raises:
        UserError: MLflow cannot be used, there is no champion, or the port is in use.
    """
    require_free(port)
    note("serve: starting MLflow")
    with open_registry(name, root) as registry:
        champion = registry.champion()
        if champion is None:
            raise UserError(
                f"models:/{name}@champion: there is no champion to serve; register one with `fovea run`, or with "
                "`dvc repro --force --single-item register` if everything is up to date"
            )
    arguments = ["models", "serve", "--env-manager", "local", "--model-uri", champion.uri]

    def ready() -> None:
        say(f"{name} version {champion.number} accepts POST on http://{HOST}:{port}/invocations (press Ctrl-C to stop)")

    return serve_until_stopped(
        "the server", arguments, port, "/ping", _START_SECONDS, ready, MLFLOW_TRACKING_URI=tracking_uri(root)
    )
