"""Serving the MLflow UI on this machine alone, opened at the reviewer's view."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from pathlib import Path

from pipeline.terminal import UserError, say
from pipeline.tracking.server import Away, connect, tracking_uri
from pipeline.tracking.views import REVIEW, STUDIES, share_views, view_address

HOST = "127.0.0.1"
_START_SECONDS = 60.0
# MLflow warns of its own use of other packages.
_QUIET = {"MLFLOW_LOGGING_LEVEL": "WARNING", "PYTHONWARNINGS": "ignore"}


def serve_ui(root: Path, port: int, browse: bool) -> int:
    """Serve the UI until it is stopped; gives the server's exit status.

    With MLFLOW_TRACKING_URI set to an HTTP server, that server's UI is opened instead.

    Raises:
        UserError: MLflow cannot be used, or the port is taken.
    """
    try:
        server = connect(root)
    except Away as reason:
        raise UserError(f"{reason}; start it, or unset MLFLOW_TRACKING_URI to use mlflow.db") from None
    share_views(server)
    uri = tracking_uri(root)
    if uri.startswith("http"):
        _show(uri, server.experiment_id, browse)
        return 0
    if port < 1 or not _is_free(port):
        raise UserError(f"--port: must be a free port of {HOST}, got {port}; stop what listens there, or name another")
    signal.signal(signal.SIGTERM, _interrupt)  # so that the server does not outlive this process
    process = subprocess.Popen(_command(root, uri, port), env=os.environ | _QUIET)
    try:
        _await(process, port)
        _show(f"http://{HOST}:{port}", server.experiment_id, browse)
        say("Ctrl-C stops the server")
        return process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        process.terminate()
        process.wait(timeout=30)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _command(root: Path, uri: str, port: int) -> list[str]:
    artifacts = (root / "mlartifacts").resolve().as_uri()
    stores = {"--backend-store-uri": uri, "--registry-store-uri": uri, "--default-artifact-root": artifacts}
    options = stores | {"--host": HOST, "--port": str(port)}
    given = [part for option in options.items() for part in option]
    return [sys.executable, "-m", "mlflow", "server", *given, "--workers", "1", "--uvicorn-opts", "--log-level warning"]


def _await(process: "subprocess.Popen[bytes]", port: int) -> None:
    """Wait until the server answers."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise UserError(f"the MLflow server ended with status {process.returncode}; its message stands above")
        try:
            urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise UserError(f"the MLflow server did not answer within {_START_SECONDS:.0f} s; its messages stand above")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            return False
    return True


def _show(base: str, experiment_id: str, browse: bool) -> None:
    """Tell the address of each view, and open the first in a browser."""
    address = view_address(base, experiment_id, REVIEW)
    say(address)
    say(f"{STUDIES.name}: {view_address(base, experiment_id, STUDIES)}")
    # On Linux a browser without a display is a text browser, which cannot show the UI.
    has_display = sys.platform != "linux" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if browse and has_display:
        webbrowser.open(address)
