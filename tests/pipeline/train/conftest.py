"""Workspaces for tests of the stage train."""

from pathlib import Path

import pytest

from tests.pipeline.train.workspace import Workspace, make_workspace


@pytest.fixture(autouse=True)
def no_tracking_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def workspace(tmp_path: Path, empty_database: Path) -> Workspace:
    return make_workspace(tmp_path / "workspace", empty_database)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Workspace:
    """A workspace after an uninterrupted run of the stage; tests only read it."""
    workspace = make_workspace(tmp_path_factory.mktemp("finished") / "workspace", empty_database)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        workspace.run()
    return workspace
