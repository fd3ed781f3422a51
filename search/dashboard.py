"""optuna-dashboard on the storage of the studies."""

import subprocess
import sys
from pathlib import Path

from pipeline.terminal import UserError, say


def serve(storage: str) -> int:
    """Serve the dashboard on 127.0.0.1 until it is stopped; its exit status.

    Raises:
        UserError: the storage is a file that is not there yet.
    """
    file = storage.removeprefix("sqlite:///")
    if file != storage and not Path(file).exists():
        raise UserError(
            f"params.yaml: search.storage must hold a study, got no file {file}; run python -m search first"
        )
    program = Path(sys.executable).with_name("optuna-dashboard")
    say("optuna-dashboard on http://127.0.0.1:8080, stop it with Ctrl-C")
    return subprocess.call([str(program), "--host", "127.0.0.1", "--port", "8080", storage])
