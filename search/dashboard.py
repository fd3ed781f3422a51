"""Serve optuna-dashboard on the storage of the studies."""

from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from pipeline.errors import UserError
from pipeline.terminal.console import note, say

HOST = "127.0.0.1"


class _Server(ThreadingMixIn, WSGIServer):
    """A server with one thread per connection, because browsers keep connections open."""

    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Do not log requests."""


def serve(storage: str, port: int) -> None:
    """Serve the dashboard on 127.0.0.1 until it is stopped.

    Args:
        storage: Database address of the studies.
        port: Port to listen on.

    Raises:
        UserError: The storage is a file that does not exist yet, the storage cannot be opened, or the port is taken.
    """
    file = storage.removeprefix("sqlite:///")
    if file != storage and not Path(file).exists():
        raise UserError(f"{file}: no such file; run `fovea search` first")
    from optuna_dashboard import wsgi

    from search.analysis.importance import MIN_COMPLETE
    from search.storage.database import open_storage

    try:
        server = make_server(HOST, port, wsgi(open_storage(storage)), server_class=_Server, handler_class=_Handler)
    except (OSError, OverflowError):
        raise UserError(
            f"--port: must be a free port on {HOST}, got {port}; stop the process that uses it, or choose another port"
        ) from None
    with server:
        say(f"optuna-dashboard: http://{HOST}:{server.server_port} (press Ctrl-C to stop)")
        note(f"dashboard: its importances are unreliable for a study with fewer than {MIN_COMPLETE} complete trials")
        server.serve_forever()
