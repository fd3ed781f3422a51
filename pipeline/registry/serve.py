"""Serving a registered network over HTTP on this machine alone, by `mlflow models serve`."""

from pathlib import Path

from pipeline.console import note, say
from pipeline.errors import UserError
from pipeline.mlflow_server.child_server import HOST, require_free, serve_until_stopped
from pipeline.mlflow_server.connection import tracking_uri
from pipeline.registry.versions import open_registry

_START_SECONDS = 120.0


def serve(name: str, root: Path, port: int) -> int:
    """Serve the champion of a registered model until it is stopped; gives the server's exit status.

    Args:
        name: of the registered model.
        root: the repository's root.
        port: to listen on.

    Raises:
        UserError: MLflow cannot be used, there is no champion, or the port is taken.
    """
    require_free(port)
    note("serve: starting MLflow")
    with open_registry(name, root) as registry:
        champion = registry.champion()
        if champion is None:
            raise UserError(
                f"models:/{name}@champion: there is no champion that could serve; run `fovea run`, which registers one "
                "if register.gate allows it"
            )
    arguments = ["models", "serve", "--env-manager", "local", "--model-uri", champion.uri]

    def ready() -> None:
        say(f"{name} version {champion.number} answers POST on http://{HOST}:{port}/invocations; Ctrl-C stops it")

    return serve_until_stopped(
        "the server", arguments, port, "/ping", _START_SECONDS, ready, MLFLOW_TRACKING_URI=tracking_uri(root)
    )
