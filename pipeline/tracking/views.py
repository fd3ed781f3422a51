"""The view of the MLflow UI that a reviewer wants: columns, sorting, and the address that opens it."""

import json
from typing import Any

from pipeline.tracking.server import Server

VIEW_KEY = "review"
_TAG = f"mlflow.sharedViewState.{VIEW_KEY}"
SORTED_BY = "metrics.`val_accuracy`"
# The UI leaves out what no run has.
COLUMNS = (
    SORTED_BY,
    "metrics.`test_accuracy`",
    "metrics.`test_macro_f1`",
    "metrics.`energy_wh`",
    "metrics.`params`",
    "metrics.`macs`",
    "params.`params`",
    "params.`macs`",
    "params.`learning_rate`",
    "tags.`fovea.kind`",
    "tags.`reason`",
    "attributes.`Duration`",
)


def view_state() -> dict[str, Any]:
    """The state of the runs' table, with the names that MLflow's UI gives its parts."""
    return {
        "searchFilter": "",
        "orderByKey": SORTED_BY,
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(COLUMNS),
        "columnOrder": list(COLUMNS),
        "runListHidden": False,
        "hideEmptyCharts": True,
    }


def share_view(server: Server) -> None:
    """Store the view in the experiment, where the UI looks for it."""
    state = json.dumps(view_state())
    if server.client.get_experiment(server.experiment_id).tags.get(_TAG) != state:
        server.client.set_experiment_tag(server.experiment_id, _TAG, state)


def view_address(base: str, experiment_id: str) -> str:
    """The address that opens the view, in the mode that shows training runs."""
    query = f"workflowType=machine_learning&viewStateShareKey={VIEW_KEY}"
    return f"{base.rstrip('/')}/#/experiments/{experiment_id}/runs?{query}"
