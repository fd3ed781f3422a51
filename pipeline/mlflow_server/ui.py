"""Serve the MLflow UI on the loopback interface, and open it at the view for reviewers."""

import os
import sys
import webbrowser
from pathlib import Path

from pipeline.mlflow_server.child_server import HOST, serve_until_stopped
from pipeline.mlflow_server.connection import require_server, tracking_uri
from pipeline.mlflow_server.views import REVIEW, STUDIES, share_views, view_address
from pipeline.terminal.console import note, say

_START_SECONDS = 180.0  # the start takes about ten seconds, and longer on a busy machine


def serve_ui(root: Path, port: int, browse: bool) -> int:
    """Serve the UI until it is stopped, and return the server's exit status.

    If MLFLOW_TRACKING_URI is the address of an HTTP server, the UI of that server is opened instead.

    Args:
        root: Root folder of the repository.
        port: Port to listen on.
        browse: Whether to open a browser.

    Raises:
        UserError: MLflow cannot be used, or the port is in use.
    """
    note("ui: starting MLflow")
    server = require_server(root, "start it, or unset MLFLOW_TRACKING_URI to use mlflow.db")
    share_views(server)
    uri = tracking_uri(root)
    if uri.startswith("http"):
        _show(uri, server.experiment_id, browse)
        return 0
    artifacts = (root / "mlartifacts").resolve().as_uri()
    arguments = ["server", "--default-artifact-root", artifacts, "--workers", "1"]
    arguments += ["--uvicorn-opts", "--log-level warning"]
    # In the environment, because every user of the machine can read arguments, and an address may have a password.
    stores = {"MLFLOW_BACKEND_STORE_URI": uri, "MLFLOW_REGISTRY_STORE_URI": uri}

    def ready() -> None:
        _show(f"http://{HOST}:{port}", server.experiment_id, browse)
        say("press Ctrl-C to stop")

    return serve_until_stopped(
        "the MLflow server", "mlflow", arguments, port, "/health", _START_SECONDS, ready, **stores
    )


def _show(base: str, experiment_id: str, browse: bool) -> None:
    """Print the address of each view, and open the first in a browser."""
    address = view_address(base, experiment_id, REVIEW)
    say(address)
    say(f"{STUDIES.name}: {view_address(base, experiment_id, STUDIES)}")
    # Without a display, a browser on Linux is a text browser, which cannot show the UI.
    has_display = sys.platform != "linux" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if browse and has_display:
        webbrowser.open(address)
