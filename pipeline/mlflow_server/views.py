"""Saved views of the MLflow UI for reviewers: their columns, their sort order, and the addresses that open them."""

import json
from dataclasses import dataclass
from typing import Any

from pipeline.mlflow_server.connection import Server
from pipeline.params.addresses import without_credentials

_TAG = "mlflow.sharedViewState."
BEST_VAL_ACCURACY = "metrics.`best/val_accuracy`"  # of the epoch whose weights are kept; for a trial, the last epoch
START = "attributes.start_time"  # the only order in which the UI nests trials below their study
# Width in pixels by column. The UI omits columns that no run has.
COLUMNS = {
    "attributes.`Run Name`": 380,
    "duration": 80,
    "tags.`alias`": 85,
    BEST_VAL_ACCURACY: 140,
    "metrics.`val/accuracy`": 115,
    "metrics.`val/loss`": 85,
    "metrics.`val/macro_f1`": 110,
    "metrics.`test/accuracy`": 110,
    "metrics.`test/macro_f1`": 115,
    "metrics.`robustness/overall`": 145,
    "metrics.`cost/energy_wh`": 120,
    "metrics.`cost/params`": 105,
    "metrics.`cost/macs`": 95,
    "params.`architecture.blocks`": 140,
    "params.`architecture.filters`": 140,
    "params.`architecture.kernel_size`": 160,
    "params.`architecture.head`": 140,
    "params.`training.learning_rate`": 150,
    "tags.`fovea.kind`": 85,
    "tags.`state`": 85,
    "tags.`reason`": 350,
}
# Names of metrics in runs of earlier versions, which had no group.
OLD_COLUMNS = {
    "metrics.`best_val_accuracy`": 130,
    "metrics.`val_accuracy`": 115,
    "metrics.`test_accuracy`": 105,
    "metrics.`test_macro_f1`": 110,
}


@dataclass(frozen=True)
class View:
    """A view of the table of runs.

    Attributes:
        key: Identifier of the view in addresses.
        name: Name in the UI's menu of views.
        order_by: Column by which the runs are sorted in descending order.
    """

    key: str
    name: str
    order_by: str


REVIEW = View("review", "Best first", BEST_VAL_ACCURACY)
STUDIES = View("studies", "Studies with their trials", START)


def view_state(view: View) -> dict[str, Any]:
    """Return the state of the runs' table in the format of MLflow's UI."""
    columns = COLUMNS | OLD_COLUMNS
    return {
        "searchFilter": "",
        "orderByKey": view.order_by,
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(columns),
        "columnOrder": list(columns),
        "columnWidths": columns,
        "runListHidden": False,
        "hideEmptyCharts": True,
    }


def share_views(server: Server) -> None:
    """Store the views in tags of the experiment, where the UI reads them."""
    experiment = server.client.get_experiment(server.experiment_id)
    for view in (REVIEW, STUDIES):
        state = json.dumps(view_state(view))
        made = experiment.creation_time
        envelope = json.dumps({"name": view.name, "createdAt": made, "updatedAt": made, "state": state})
        if experiment.tags.get(_TAG + view.key) != envelope:
            server.client.set_experiment_tag(server.experiment_id, _TAG + view.key, envelope)


def view_address(base: str, experiment_id: str, view: View) -> str:
    """Return the address that opens a view in the UI's mode for model training."""
    query = f"workflowType=machine_learning&viewStateShareKey={view.key}"
    return f"{base.rstrip('/')}/#/experiments/{experiment_id}/runs?{query}"


def run_address(server: Server, run_id: str) -> str:
    """Return the address of a run's page. For a database, this is its address in `fovea ui` with the default port."""
    base = "http://127.0.0.1:5000"
    if server.uri.startswith(("http://", "https://")):
        base = without_credentials(server.uri)
    return f"{base.rstrip('/')}/#/experiments/{server.experiment_id}/runs/{run_id}"
