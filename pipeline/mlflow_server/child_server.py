"""A server of MLflow as a child process, reached on this machine alone."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from pipeline.errors import UserError
from pipeline.mlflow_server.connection import reach_loopback_directly

HOST = "127.0.0.1"
_STOP_SECONDS = 30.0
_SHOWN_LINES = 12  # of a failed server's last words
_ENVIRONMENT = {
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight processes for the evaluation of language models
    "PYTHONWARNINGS": "ignore",  # MLflow warns of its own use of others
}


def serve_until_stopped(
    name: str, arguments: Sequence[str], port: int, path: str, seconds: float, ready: Callable[[], None], **more: str
) -> int:
    """Run `python -m mlflow …` until it ends or is interrupted; its exit status, 0 if it was interrupted.

    Args:
        name: of the server, for messages.
        arguments: of mlflow; host and port are added.
        port: to listen on.
        path: answers once the server is up.
        seconds: that the start may take.
        ready: called once the server is up.
        more: environment variables.

    Raises:
        UserError: the port is taken, or the server does not start; with its last words.
    """
    require_free(port)
    reach_loopback_directly()
    for ending in (signal.SIGTERM, signal.SIGHUP):  # so that the server does not outlive this process
        signal.signal(ending, _interrupt)
    command = [sys.executable, "-m", "mlflow", *arguments, "--host", HOST, "--port", str(port)]
    # MLflow looks for its server `uvicorn` on PATH.
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    process = subprocess.Popen(
        command,
        env=os.environ | _ENVIRONMENT | {"PATH": programs} | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,  # Ctrl-C is for this process alone: each of the server's would answer it with a traceback
    )
    assert process.stdout is not None
    output = _Output(process.stdout)
    try:
        _await(process, output, name, f"http://{HOST}:{port}{path}", seconds)
        output.pass_on()
        ready()
        return process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        output.keep()
        for ending in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, PermissionError):  # macOS forbids what is no longer there
                os.killpg(process.pid, ending)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
                break


def require_free(port: int) -> None:
    """Refuse a port on which a server could not listen.

    Raises:
        UserError: it is taken, or no port.
    """
    if port < 1 or not _is_free(port):
        raise UserError(f"--port: must be a free port of {HOST}, got {port}; stop what listens there, or name another")


class _Output:
    """What a process prints: kept until it is passed on to stderr, and from then on passed on line by line."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._kept: deque[str] = deque(maxlen=200)
        self._passing = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def pass_on(self) -> None:
        self._passing.set()

    def keep(self) -> None:
        self._passing.clear()

    def last_words(self) -> str:
        """The last lines, once the process is over."""
        self._thread.join(timeout=5)
        lines = [line.rstrip() for line in self._kept if line.strip()]
        return "\n".join(lines[-_SHOWN_LINES:]) or "it printed nothing"

    def _read(self) -> None:
        for line in self._stream:
            if self._passing.is_set():
                print(line, end="", file=sys.stderr, flush=True)
            else:
                self._kept.append(line)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            return False
    return True


def _await(process: "subprocess.Popen[str]", output: _Output, name: str, address: str, seconds: float) -> None:
    """Wait until the server answers."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise UserError(f"{name} ended with status {process.returncode}:\n{output.last_words()}")
        try:
            direct.open(address, timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    process.kill()
    raise UserError(f"{name} did not answer within {seconds:.0f} s:\n{output.last_words()}")
