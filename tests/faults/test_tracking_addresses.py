"""Tracking databases on servers that cannot be used."""

import re
import socket
import time
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.mlflow_server import check_database
from pipeline.mlflow_server.connection import require_server
from pipeline.tracking.live import track
from pipeline.tracking.record import RunRecord
from tests.ports import free_port


def require_quick_refusal(
    address: str, message: str, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    began = time.monotonic()
    with pytest.raises(UserError, match=message) as error:
        require_server(root)
    assert "pw" not in str(error.value)
    record = RunRecord("training", "0123456789abcdef", "training")
    with track(record, root) as run:
        run.log({"loss": 0.5}, 1)
    assert time.monotonic() - began < 10
    assert (record.status, record.metrics) == ("FINISHED", [("loss", 1, 0.5)])
    (shown,) = caplog.messages
    assert re.search(message, shown)
    assert shown.endswith("continuing without MLflow; publish later with `fovea sync`")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            "postgresql+psycopg://u:pw@127.0.0.1:{port}/db",
            "Connection refused.*; start the database, or correct",
        ),
        ("postgresql://u:pw@127.0.0.1:x{port}/db", "invalid literal.*; start the database, or correct MLFLOW_"),
        ("mysql+oursql{port}://u:pw@127.0.0.1/db", "Can't load plugin.*; start the database, or correct MLFLOW_"),
        ("mysql+pyodbc://u:pw@127.0.0.1:{port}/db", "No module named 'pyodbc'; install the driver, or name another"),
    ],
)
def test_a_database_that_cannot_be_used_is_reported_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, address: str, message: str
) -> None:
    """A tracking database that is away, or whose address or driver is wrong, is reported, and stages go on without it.

    Sets addresses with a port that refuses connections, with a wrong port, and with drivers that are not installed.
    """
    pytest.importorskip("psycopg")
    require_quick_refusal(address.format(port=free_port()), message, tmp_path, monkeypatch, caplog)


@pytest.mark.slow
def test_a_database_that_does_not_answer_is_reported_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A tracking database that accepts connections but never answers is reported, and stages go on without it.

    Sets the address of a socket that nobody serves, with a limit of 2 s in place of 5.
    """
    pytest.importorskip("psycopg")
    monkeypatch.setattr(check_database, "_CONNECT_SECONDS", "2")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"postgresql+psycopg://u:pw@127.0.0.1:{silent.getsockname()[1]}/db"
        require_quick_refusal(address, "timeout expired; start the database", tmp_path, monkeypatch, caplog)
