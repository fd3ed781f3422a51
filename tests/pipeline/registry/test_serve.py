"""`fovea serve`: the champion over HTTP, or an error with the reason."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.registry.serve import HOST, serve

ROOT = Path(__file__).resolve().parents[3]
# A registered model that returns the number of its inputs; defined as code, since pickled models are not loaded.
MODEL = """
import mlflow
class Counting(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [len(model_input)]
mlflow.models.set_model(Counting())
"""
REGISTER = """
import mlflow, sys, warnings
warnings.simplefilter("ignore")
mlflow.set_tracking_uri(f"sqlite:///{sys.argv[1]}/mlflow.db")
mlflow.create_experiment("x", f"file://{sys.argv[1]}/mlartifacts")
mlflow.set_experiment("x")
with mlflow.start_run():
    model = f"{sys.argv[1]}/counting.py"
    mlflow.pyfunc.log_model(name="model", python_model=model, registered_model_name="fovea", pip_requirements=[])
mlflow.MlflowClient().set_registered_model_alias("fovea", "champion", "1")
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        with pytest.raises(UserError, match=rf"--port: must be a free port on {HOST}, got \d+; stop the process"):
            serve("fovea", tmp_path, other.getsockname()[1])


@pytest.mark.slow
def test_without_a_champion_the_error_explains_how_to_get_one(empty_database: Path, tmp_path: Path) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    with pytest.raises(UserError, match=r"models:/fovea@champion: there is no champion .* one with `fovea run`"):
        serve("fovea", tmp_path, free_port())


@pytest.mark.slow
def test_the_champion_is_served_until_interrupted(empty_database: Path, tmp_path: Path) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    (tmp_path / "counting.py").write_text(MODEL)
    subprocess.run([sys.executable, "-c", REGISTER, tmp_path], env=environment, check=True, capture_output=True)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "serve", "--port", str(port)],
        cwd=tmp_path, env=environment | {"PYTHONPATH": str(ROOT), "PATH": os.defpath},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            message = next(line for line in process.stdout if not line.startswith("INFO:"))  # the server's own messages
            assert message == (
                f"fovea version 1 accepts POST on http://{HOST}:{port}/invocations (press Ctrl-C to stop)\n"
            )
            content = json.dumps({"inputs": [1, 2, 3]}).encode()
            request = urllib.request.Request(
                f"http://{HOST}:{port}/invocations", content, {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=30) as response:
                assert json.load(response) == {"predictions": [3]}
        finally:
            os.killpg(process.pid, signal.SIGINT)  # like Ctrl-C in a terminal, which reaches all its processes
        _, err = process.communicate()
        assert process.returncode == 0
        assert "Traceback" not in err
    end = time.monotonic() + 10
    while time.monotonic() < end:  # until nothing listens any more
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) != 0:
                return
    pytest.fail("the server outlived the command")
