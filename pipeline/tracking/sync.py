"""Publishing every record of the repository that MLflow does not hold yet."""

from pathlib import Path

from pipeline.errors import UserError, message_of
from pipeline.mlflow_server.connection import failures, require_server
from pipeline.params.addresses import hide_password
from pipeline.tracking.mirror import Mirror
from pipeline.tracking.record import RunRecord, read_record


def sync(root: Path) -> int:
    """Publish what is missing; gives the number of runs that were made or changed.

    Raises:
        UserError: MLflow cannot be used, or a record is damaged.
    """
    mirror = Mirror(require_server(root), root)
    records = [read_record(path) for path in _paths(root)]
    try:
        return sum(mirror.publish(record) for record in _trainings_first(records))
    except failures() as error:
        raise UserError(
            f"MLflow at {hide_password(mirror.server.uri)} failed: {message_of(error)}; try again"
        ) from None


def publish_all(mirror: Mirror, root: Path, but: str) -> None:
    """Publish what earlier stages left, while a run of key `but` goes on; damaged records are left to sync()."""
    records = []
    for path in _paths(root):
        try:
            records.append(read_record(path))
        except UserError:
            continue
    for record in _trainings_first(records):
        if record.key != but:
            mirror.publish(record)


def _paths(root: Path) -> list[Path]:
    return sorted((root / "reports").glob("**/run.json"))


def _trainings_first(records: list[RunRecord]) -> list[RunRecord]:
    """Evaluations last: they are added to the runs of their trainings."""
    return sorted(records, key=lambda record: record.kind == "evaluation")
