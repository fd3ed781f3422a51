"""Serving a registered network over HTTP on this machine alone, by `mlflow models serve`."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from pipeline.terminal import UserError, say
from pipeline.tracking.registry import open_registry
from pipeline.tracking.server import tracking_uri

HOST = "127.0.0.1"
_START_SECONDS = 120.0
_QUIET = {"MLFLOW_LOGGING_LEVEL": "WARNING", "PYTHONWARNINGS": "ignore"}


def serve(name: str, root: Path, port: int) -> int:
    """Serve the champion of a registered model until it is stopped; gives the server's exit status.

    Args:
        name: of the registered model.
        root: the repository's root.
        port: to listen on.

    Raises:
        UserError: MLflow cannot be used, there is no champion, or the port is taken.
    """
    _require_free(port)
    with open_registry(name, root) as registry:
        champion = registry.champion()
        if champion is None:
            raise UserError(
                f"models:/{name}@champion: there is no champion that could serve; run `fovea run`, which registers one "
                "if register.gate allows it"
            )
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    command += ["--model-uri", champion.uri, "--host", HOST, "--port", str(port)]
    signal.signal(signal.SIGTERM, _interrupt)  # so that the server does not outlive this process
    # MLflow looks for its server `uvicorn` on PATH.
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    environment = os.environ | _QUIET | {"MLFLOW_TRACKING_URI": tracking_uri(root), "PATH": programs}
    process = subprocess.Popen(command, env=environment)
    try:
        _await(process, port)
        say(f"{name} version {champion.number} answers POST on http://{HOST}:{port}/invocations; Ctrl-C stops it")
        return process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        process.terminate()
        process.wait(timeout=30)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            if port < 1:
                raise OverflowError
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            raise UserError(
                f"--port: must be a free port of {HOST}, got {port}; stop what listens there, or name another"
            ) from None


def _await(process: "subprocess.Popen[bytes]", port: int) -> None:
    """Wait until the server answers."""
    no_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise UserError(f"the server ended with status {process.returncode}; its message is above")
        try:
            no_proxy.open(f"http://{HOST}:{port}/ping", timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise UserError(f"the server did not answer within {_START_SECONDS:.0f} s; its messages are above")
