import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.mlflow_server.connection import Server, connect
from pipeline.mlflow_server.views import REVIEW, STUDIES, run_address, share_views, view_address


@pytest.mark.parametrize(
    ("key", "name", "order"),
    [
        ("review", "Best first", "metrics.`best/val_accuracy`"),
        ("studies", "Studies with their trials", "attributes.start_time"),
    ],
)
def test_a_view_is_stored_under_the_tag_that_the_ui_reads(tmp_path: Path, key: str, name: str, order: str) -> None:
    server = connect(tmp_path)
    share_views(server)
    stored = json.loads(server.client.get_experiment(server.experiment_id).tags[f"mlflow.sharedViewState.{key}"])
    assert stored["name"] == name
    state = json.loads(stored["state"])
    assert (state["orderByKey"], state["orderByAsc"]) == (order, False)
    assert "tags.`reason`" in state["selectedColumns"]


def test_sharing_the_views_again_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking import MlflowClient

    server = connect(tmp_path)
    share_views(server)
    monkeypatch.delattr(MlflowClient, "set_experiment_tag")
    share_views(server)


def test_the_address_of_a_view_contains_its_share_key() -> None:
    base = "http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey="
    assert view_address("http://127.0.0.1:5000/", "1", REVIEW) == f"{base}review"
    assert view_address("http://127.0.0.1:5000/", "1", STUDIES) == f"{base}studies"


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("sqlite:////some/mlflow.db", "http://127.0.0.1:5000/#/experiments/7/runs/abc"),
        ("https://user:secret@host:80/", "https://host:80/#/experiments/7/runs/abc"),
    ],
)
def test_the_address_of_a_run_opens_the_ui_and_contains_no_password(uri: str, address: str) -> None:
    client: Any = None  # not used
    assert run_address(Server(uri, client, "7"), "abc") == address
