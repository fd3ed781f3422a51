import json
from pathlib import Path

from pipeline.tracking.server import connect
from pipeline.tracking.views import share_view, view_address


def test_the_view_is_stored_where_the_ui_looks_for_it(tmp_path: Path) -> None:
    server = connect(tmp_path)
    share_view(server)
    tags = server.client.get_experiment(server.experiment_id).tags
    state = json.loads(tags["mlflow.sharedViewState.review"])
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`val_accuracy`", False)
    assert "tags.`reason`" in state["selectedColumns"]


def test_the_address_opens_the_training_view() -> None:
    assert view_address("http://127.0.0.1:5000/", "1") == (
        "http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=review"
    )
