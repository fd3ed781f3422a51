"""Fixtures with MLflow databases, an unreachable server, and a workspace for registration."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.mlflow_server.connection import connect
from pipeline.tracking.record import RunRecord
from tests.pipeline.registration import Workspace
from tests.ports import free_port


@pytest.fixture
def own_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> None:
    """Run the test in a folder with its own empty MLflow database."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def unreachable_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the tracking URI to an address on which nothing listens."""
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")


@pytest.fixture
def runs() -> Callable[[Path], list[Any]]:
    """Return a function that reads all runs of the experiment, oldest first."""

    def read(root: Path) -> list[Any]:
        server = connect(root)
        return list(server.client.search_runs([server.experiment_id], order_by=["attributes.start_time ASC"]))

    return read


@pytest.fixture
def training() -> RunRecord:
    return RunRecord(
        "training",
        "0123456789abcdef",
        "digits",
        params={"learning_rate": 0.003, "epochs": 3, "patience": None},
        tags={"seed": "1"},
        description="# A training",
        dataset={"name": "digits", "digest": "d" * 64, "source": "digits", "contexts": ["training", "validation"]},
    )


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> Workspace:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    workspace = Workspace(tmp_path)
    workspace.network(bias=0.0)
    return workspace
