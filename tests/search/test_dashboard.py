"""Errors of the dashboard."""

import socket
from pathlib import Path

import pytest
from optuna.storages import RDBStorage

from pipeline.errors import UserError
from search.dashboard import HOST, serve


def test_a_missing_storage_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run `fovea search` first"):
        serve(f"sqlite:///{tmp_path}/optuna.db", 8080)
    assert not list(tmp_path.iterdir())


def test_a_port_in_use_is_reported(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/optuna.db"
    RDBStorage(storage)
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"must be a free port on 127.0.0.1, got {port}"):
            serve(storage, port)
