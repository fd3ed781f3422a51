"""A real MLflow server that starts in two seconds: its Flask application alone, without the processes around it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.pipeline.serving import wait_for

_SERVE = """
import os, sys
store = "sqlite:///server.db"
os.environ |= {
    "_MLFLOW_SERVER_FILE_STORE": store,
    "_MLFLOW_SERVER_REGISTRY_STORE": store,
    "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
    "_MLFLOW_SERVER_ARTIFACT_DESTINATION": "served",
    "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
}
from mlflow.server import app
from werkzeug.serving import make_server
make_server("127.0.0.1", int(sys.argv[1]), app, threaded=True).serve_forever()
"""


@contextmanager
def quick_tracking_server(folder: Path, port: int, database: Path) -> Iterator[None]:
    """Run a server with a copy of a database for the duration of a block.

    Args:
        folder: Folder of its database and files.
        port: Port to listen on.
        database: Database with MLflow's tables.
    """
    shutil.copy(database, folder / "server.db")
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _SERVE, str(port)],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
        yield
    finally:
        process.kill()
        process.wait()
