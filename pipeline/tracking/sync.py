"""Publish all records of the repository that are not in MLflow yet."""

from pathlib import Path

from pipeline.errors import UserError, message_of
from pipeline.mlflow_server.connection import Server, failures, require_server
from pipeline.params.addresses import hide_password
from pipeline.tracking.killed_runs import close_killed_runs
from pipeline.tracking.local_log import milliseconds
from pipeline.tracking.publisher import MlflowPublisher
from pipeline.tracking.record import RunRecord, read_record


def sync(root: Path) -> int:
    """Publish all missing records, and return the number of runs created or updated.

    Raises:
        UserError: MLflow cannot be used, or a record is damaged or refused; the other records are published first.
    """
    reports = root / "reports"
    if reports.is_symlink() and not reports.exists():  # in a link to itself, for example, glob would find nothing
        raise UserError(f"{reports}: must be a folder, got a symbolic link that leads nowhere; remove the link")
    publisher = MlflowPublisher(require_server(root), root)
    try:
        changed, failed = _publish_each(publisher, root)
        changed += close_killed_runs(publisher, root, exclude="")
    except failures() as error:
        raise UserError(
            f"MLflow at {hide_password(publisher.server.uri)} failed: {message_of(error)}; try again"
        ) from None
    if failed:
        raise UserError("\n".join(failed))
    return changed


def publish_all(publisher: MlflowPublisher, root: Path, exclude: str) -> None:
    """Publish the records of earlier stages while another run is in progress. `fovea sync` names those that fail.

    Args:
        publisher: MLflow's experiment.
        root: Root folder of the repository.
        exclude: Key of the run in progress, which is not published; empty: none.
    """
    _publish_each(publisher, root, exclude)


def run_of_training(server: Server, evaluation: RunRecord, root: Path) -> str:
    """Return the ID of the run that an evaluation belongs to, and publish the run if it is missing.

    Raises:
        UserError: MLflow does not return the run after it was published.
    """
    publisher = MlflowPublisher(server, root)
    publish_all(publisher, root, exclude="")
    run = publisher.find(evaluation.parent or evaluation.key)
    if run is None:
        publisher.publish(evaluation)
        run = publisher.find(evaluation.parent or evaluation.key)
    if run is None:
        raise UserError(
            f"MLflow at {hide_password(server.uri)} did not return the run that was just published; try again"
        )
    return run.run_id


def _publish_each(publisher: MlflowPublisher, root: Path, exclude: str = "") -> tuple[int, list[str]]:
    """Publish each record, also if others are damaged or refused by the server.

    Returns:
        Number of runs created or updated, and the errors of the records that are not published.
    """
    records, failed = _read_all(root)
    changed = 0
    for path, record in records:
        if record.key == exclude:
            continue
        try:
            changed += publisher.publish(record)
        except UserError as error:
            failed.append(f"{path}: {error}")
        except failures() as error:
            if not publisher.responds():
                raise
            publisher.close_running(record.key, milliseconds())
            where = f"MLflow at {hide_password(publisher.server.uri)}"
            failed.append(f"{path}: {where} refuses the record: {message_of(error)}; correct the record or remove it")
    return changed, failed


def _read_all(root: Path) -> tuple[list[tuple[Path, RunRecord]], list[str]]:
    """Return the records, evaluations last because they are added to the training runs, and the errors of others."""
    records, damaged = [], []
    for path in sorted((root / "reports").glob("**/run.json")):
        try:
            records.append((path, read_record(path)))
        except UserError as error:
            damaged.append(str(error))
    return sorted(records, key=lambda each: each[1].kind == "evaluation"), damaged
