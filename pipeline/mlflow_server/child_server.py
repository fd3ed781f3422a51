"""Run a server as a child process until it is stopped."""

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
from ipaddress import IPv4Address
from pathlib import Path
from typing import IO

from pipeline.errors import UserError
from pipeline.mlflow_server.connection import reach_loopback_directly

HOST = "127.0.0.1"
_STOP_SECONDS = 30.0
_SHOWN_LINES = 12  # of the output of a server that failed
_ENVIRONMENT = {
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # saves eight processes that evaluate language models
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",  # pickled models can run any code
    "MLFLOW_SERVER_ALLOWED_HOSTS": "127.0.0.1,127.0.0.1:*,localhost,localhost:*",  # fnmatch patterns
    "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": "",
    "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "false",
    "PYTHONWARNINGS": "ignore",  # about MLflow's own use of its dependencies
}


def serve_until_stopped(
    name: str,
    module: str,
    arguments: Sequence[str],
    port: int,
    path: str,
    seconds: float,
    ready: Callable[[], None],
    host: str = HOST,
    **more: str,
) -> int:
    """Run a module with `python -m` until it exits or is interrupted.

    Args:
        name: Name of the server, for messages.
        module: The module, such as `mlflow`.
        arguments: Its arguments; `--host` and `--port` are added.
        port: Port to listen on.
        path: Path of a URL that responds once the server is ready.
        seconds: Timeout for the start.
        ready: Callback that is called once the server is ready.
        host: Address to listen on.
        more: Additional environment variables.

    Returns:
        The server's exit status, or 0 if it was interrupted.

    Raises:
        UserError: The port is in use, or the server does not start; the message includes the end of its output.
    """
    require_free(port, host)
    reach_loopback_directly()
    for ending in (signal.SIGTERM, signal.SIGHUP):  # so that the server does not outlive this process
        signal.signal(ending, _interrupt)
    command = [sys.executable, "-m", module, *arguments, "--host", host, "--port", str(port)]
    # MLflow searches PATH for its server `uvicorn`.
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    process = subprocess.Popen(  # noqa: S603  # no shell
        command,
        env=os.environ | _ENVIRONMENT | {"PATH": programs} | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,  # only this process receives Ctrl-C: each of the server's would print a traceback
    )
    assert process.stdout is not None  # noqa: S101  # for the type
    output = _Output(process.stdout)
    try:
        _await(process, output, name, f"http://{_reachable(host)}:{port}{path}", seconds)
        output.pass_on()
        ready()
        return process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        output.keep()
        for ending in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, PermissionError):  # macOS raises the latter for a group that has ended
                os.killpg(process.pid, ending)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
                break


def require_free(port: int, host: str = HOST) -> None:
    """Check that a server can listen on a port of an address.

    Raises:
        UserError: The port is in use or invalid.
    """
    if port < 1 or not _is_free(port, host):
        raise UserError(
            f"--port: must be a free port on {host}, got {port}; stop the process that uses it, or choose another port"
        )


class _Output:
    """Reads the output of a process in a thread: keeps it at first, and forwards it to stderr after `pass_on`."""

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

    def output_tail(self) -> str:
        """Return the last lines after the process has ended."""
        self._thread.join(timeout=5)
        lines = [line.rstrip() for line in self._kept if line.strip()]
        return "\n".join(lines[-_SHOWN_LINES:]) or "(no output)"

    def _read(self) -> None:
        for line in self._stream:
            if self._passing.is_set():
                print(line, end="", file=sys.stderr, flush=True)
            else:
                self._kept.append(line)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _reachable(host: str) -> str:
    """Return the address under which this machine reaches a server that listens on an address."""
    if host == str(IPv4Address(0)):  # all interfaces
        return HOST
    return f"[{host}]" if ":" in host else host


def _is_free(port: int, host: str) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError):
            return False
    return True


def _await(process: "subprocess.Popen[str]", output: _Output, name: str, address: str, seconds: float) -> None:
    """Wait until the server responds."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise UserError(f"{name} exited with status {process.returncode}:\n{output.output_tail()}")
        try:
            direct.open(address, timeout=2).close()
            return
        except urllib.error.HTTPError as response:  # it requires the password
            response.close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    process.kill()
    raise UserError(f"{name} did not respond within {seconds:.0f} s:\n{output.output_tail()}")
