"""Publish all records of the repository that are not in MLflow yet."""

from pathlib import Path

from pipeline.errors import UserError, message_of
from pipeline.mlflow_server.connection import failures, require_server
from pipeline.params.addresses import hide_password
from pipeline.tracking.publisher import MlflowPublisher
from pipeline.tracking.record import RunRecord, read_record


def sync(root: Path) -> int:
    """Publish all missing records, and return the number of runs created or updated.

    Raises:
        UserError: MLflow cannot be used, or a record is damaged.
    """
    publisher = MlflowPublisher(require_server(root), root)
    records = [read_record(path) for path in _paths(root)]
    try:
        return sum(publisher.publish(record) for record in _trainings_first(records))
    except failures() as error:
        raise UserError(
            f"MLflow at {hide_password(publisher.server.uri)} failed: {message_of(error)}; try again"
        ) from None


def publish_all(publisher: MlflowPublisher, root: Path, exclude: str) -> None:
    """Publish the records of earlier stages while another run is in progress. Damaged records are skipped.

    Args:
        publisher: MLflow's experiment.
        root: Root folder of the repository.
        exclude: Key of the run in progress, which is not published; empty: none.
    """
    records = []
    for path in _paths(root):
        try:
            records.append(read_record(path))
        except UserError:
            continue
    for record in _trainings_first(records):
        if record.key != exclude:
            publisher.publish(record)


def _paths(root: Path) -> list[Path]:
    return sorted((root / "reports").glob("**/run.json"))


def _trainings_first(records: list[RunRecord]) -> list[RunRecord]:
    """Sort evaluations last, because they are added to the training runs."""
    return sorted(records, key=lambda record: record.kind == "evaluation")
