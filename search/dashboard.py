"""Serve optuna-dashboard on the storage of the studies."""

from collections.abc import Sequence
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from pipeline.errors import UserError
from pipeline.mlflow_server.http_guard import guard_for, guarded_wsgi
from pipeline.terminal.console import note, say

HOST = "127.0.0.1"


class _Server(ThreadingMixIn, WSGIServer):
    """A server with one thread per connection, because browsers keep connections open."""

    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Do not log requests."""


def serve(storage: str, port: int, host: str = HOST, allowed_hosts: Sequence[str] = ()) -> None:
    """Serve the dashboard until it is stopped.

    Args:
        storage: Database address of the studies.
        port: Port to listen on.
        host: Address to listen on. An address that other machines can reach requires a password.
        allowed_hosts: Names and addresses under which other machines address the dashboard.

    Raises:
        UserError: The storage is a file that does not exist yet, the storage cannot be opened, the port is taken, or
            the password or the allowed hosts are missing.
    """
    guard = guard_for(host, allowed_hosts)
    file = storage.removeprefix("sqlite:///")
    if file != storage and not Path(file).exists():
        raise UserError(f"{file}: no such file; run `fovea search` first")
    from optuna_dashboard import wsgi

    from search.analysis.importance import MIN_COMPLETE
    from search.storage.database import open_storage

    try:
        app = guarded_wsgi(wsgi(open_storage(storage)), guard)
        server = make_server(host, port, app, server_class=_Server, handler_class=_Handler)
    except (OSError, OverflowError):
        raise UserError(
            f"--port: must be a free port on {host}, got {port}; stop the process that uses it, or choose another port"
        ) from None
    with server:
        say(f"optuna-dashboard: http://{host}:{server.server_port} (press Ctrl-C to stop)")
        note(f"dashboard: its importances are unreliable for a study with fewer than {MIN_COMPLETE} complete trials")
        server.serve_forever()
