"""Fixtures with an unreachable server, the runs in MLflow, and the record of a training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.mlflow_server.connection import connect
from pipeline.tracking.record import RunRecord
from tests.ports import free_port


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
