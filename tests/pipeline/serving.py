"""Commands of MLflow in processes of their own: servers of runs, and of models."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def running(*command: str, cwd: Path) -> Iterator[IO[str]]:
    """Run an mlflow command for the duration of a block; yield its stderr; kill all its processes at the end."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *command],
            cwd=cwd,
            env=os.environ | {"PATH": path, "PYTHONWARNINGS": "ignore", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        try:
            yield log
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def tracking_server(folder: Path, port: int) -> Iterator[str]:
    """Run an MLflow server whose runs and files are in a folder; yield its address."""
    store = ["--backend-store-uri", "sqlite:///server.db", "--artifacts-destination", "served"]
    with running("server", *store, "--host", "127.0.0.1", "--port", str(port), "--workers", "1", cwd=folder):
        wait_for(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"


@contextmanager
def model_server(uri: str, folder: Path, port: int) -> Iterator[IO[str]]:
    """Serve a registered model, with a folder as the working directory; yield the server's stderr."""
    options = ["--model-uri", uri, "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    with running("models", "serve", *options, cwd=folder) as log:
        wait_for(f"http://127.0.0.1:{port}/health")
        yield log


def post(port: int, content: object, kind: str = "application/json") -> tuple[int, Any]:
    """The status and the response of the served model."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", data, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def wait_for(address: str) -> None:
    while True:
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
