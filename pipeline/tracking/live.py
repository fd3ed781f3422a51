"""Track a run while it is in progress: in its record, in logs/, and in MLflow as long as it is available."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pipeline.errors import message_of
from pipeline.machine.device import EnergyMeter
from pipeline.mlflow_server.views import run_address
from pipeline.tracking.environment import describe_environment
from pipeline.tracking.killed_runs import close_killed_runs, this_process
from pipeline.tracking.local_log import Point, milliseconds, read_local_log
from pipeline.tracking.mlflow_run import MlflowRun
from pipeline.tracking.publisher import MlflowPublisher, PublishedRun
from pipeline.tracking.record import RunRecord, Status
from pipeline.tracking.sync import publish_all

FLUSH_SECONDS = 3.0  # minimum time between two transfers
FLUSH_SHARE = 0.005  # maximum share of the wall time for which transfers occupy a processor


class LiveRun:
    """An active run. Its methods raise no exception if MLflow is unavailable.

    MLflow is called in a thread of its own. Only `open`, `close`, `amend` and `child_addresses` wait for it, for at
    most MAX_WAIT seconds in all. Then the run continues without MLflow.

    Attributes:
        record: The run's record so far; the stage writes it to a file after the run has ended.
    """

    def __init__(self, record: RunRecord, root: Path) -> None:
        self.record = record
        self._root = root
        self._log = read_local_log(root, record.key)
        self._earlier_end = self._log.ended if self._log.finished else None
        self._log.started = self._log.started or milliseconds()
        self._log.ended = None
        self._log.process = this_process()
        self._log.environment_tags = describe_environment(root)
        self._energy = EnergyMeter()
        self._pending: list[Point] = []
        self._next_flush = time.monotonic() + FLUSH_SECONDS
        self._transfer_seconds = 0.0  # processor time of the last transfer
        self._children: dict[str, PublishedRun] = {}
        self._mlflow = MlflowRun(root)

    def log(self, metrics: Mapping[str, float], step: int, volatile: bool = False) -> None:
        """Log the metrics of a step.

        Args:
            metrics: Values by name.
            step: Number of the epoch, rung or trial.
            volatile: Whether the values differ between two equal runs, such as images per second. Volatile metrics are
                written to logs/ and to MLflow, but not to the record.
        """
        now = milliseconds()
        if volatile:
            replaced = {(name, step) for name in metrics}
            kept = [point for point in self._log.points if point[:2] not in replaced]
            self._log.points = kept + [(name, step, float(value), now) for name, value in metrics.items()]
        else:
            self._log.times.setdefault(str(step), now)
            self.record.metrics += [(name, step, float(value)) for name, value in metrics.items()]
        if self.published:
            self._pending += [(name, step, float(value), now) for name, value in metrics.items()]
        if time.monotonic() >= self._next_flush:
            self.flush()

    def flush(self) -> None:
        """Transfer the metrics that were logged since the last flush; `log` calls this every few seconds."""
        began = time.monotonic()
        self._log.write(self._root)
        taken, pending = time.monotonic() - began + self._transfer_seconds, self._pending

        def transfer(publisher: MlflowPublisher, run: PublishedRun) -> None:
            started = time.thread_time()
            publisher.add(run, self.record.kind, pending)
            self._transfer_seconds = time.thread_time() - started

        if self._mlflow.submit_if_idle(transfer):  # otherwise the next transfer includes what is pending
            self._pending = []
        self._next_flush = began + max(FLUSH_SECONDS, taken / FLUSH_SHARE)

    def child(self, record: RunRecord, started: float | None = None, ended: float | None = None) -> None:
        """Add and publish a finished child run, such as a trial.

        Args:
            record: Record of the child. Its parent is set to this run, and its dataset to this run's if it has none.
            started: Start time in seconds since 1970; None: unknown.
            ended: End time in seconds since 1970; None: unknown.
        """
        child = replace(record, parent=self.record.key, dataset=record.dataset or self.record.dataset)
        self.record.children = [*(c for c in self.record.children if c.key != child.key), child]
        if child.key not in self._log.children:
            self._mark_running()
        end = int(ended * 1000) if ended else milliseconds()
        times = (int(started * 1000) if started else end, end)
        if started and ended:
            self._log.children[child.key] = times
        else:
            self._log.children.setdefault(child.key, times)
        self._mlflow.submit(
            lambda publisher, run: publisher.publish_child(child, run.run_id, self._log, self._children.get(child.key))
        )

    def artifact(self, path: Path) -> None:
        """Add a file of the repository to the artifacts, which are published when the run ends."""
        relative = self._relative(path)
        if relative not in self.record.artifacts:
            self.record.artifacts.append(relative)

    def page(self, name: str, *paths: Path) -> None:
        """Add a page for reviewers, which is published at the top level of the artifacts when the run ends.

        Args:
            name: File name among the artifacts.
            paths: Candidate files in the repository; the first one that exists is published.
        """
        self.record.pages[name] = [self._relative(path) for path in paths]

    def note(self, description: str) -> None:
        """Set a description in Markdown that may change between equal runs; it replaces the record's description."""
        self._log.note = description

    def tag(self, name: str, value: object) -> None:
        """Set a tag."""
        self.record.tags[name] = str(value)

    def _mark_running(self) -> None:
        """Mark a finished run as in progress if it continues, such as a study that runs more trials."""
        if self._earlier_end is not None:
            self._earlier_end = None
            self._mlflow.watch()

    def _relative(self, path: Path) -> str:
        return Path(os.path.relpath(path, self._root)).as_posix()

    def end(self, status: Status, reason: str = "") -> None:
        """Set the status of the run at its end, and the reason; a later call overrides an earlier one."""
        self.record.status = status
        self.record.reason = reason

    @property
    def published(self) -> bool:
        """Whether the run is in MLflow."""
        return self._mlflow.published

    def child_addresses(self, tag: str) -> dict[str, str]:
        """Return the addresses of the child runs in the MLflow UI.

        Args:
            tag: Name of a tag; its values are the keys of the returned mapping.

        Returns:
            Address by the tag's value; empty if MLflow is unavailable.
        """
        found: dict[str, str] = {}

        def look(publisher: MlflowPublisher, _: PublishedRun) -> None:
            for child in publisher.children(self.record.key).values():
                if tag in child.tags:
                    found[child.tags[tag]] = run_address(publisher.server, child.run_id)

        self._mlflow.submit(look)
        self._mlflow.wait()
        return dict(found)

    def open(self) -> None:
        """Find the run in MLflow, or create it."""
        self._log.write(self._root)  # so that others see the process of the run, should it be killed
        self._mlflow.open(self._find_or_make)
        if self.record.kind != "evaluation":
            if self._earlier_end is None:
                self._mlflow.watch()
            self._mlflow.submit(lambda publisher, _: self._publish_others(publisher))

    def wait(self) -> None:
        """Wait until MLflow has everything that was logged, or until the time is over."""
        self._mlflow.wait()

    def close(self) -> None:
        """Update the run in MLflow from the record, and end it; a repeated finished run keeps its first end time."""
        self._log.finished = self.record.status == "FINISHED"
        if self._log.finished and self._earlier_end is not None:
            self._log.ended = self._earlier_end
        else:
            self._log.ended = milliseconds()
            self._add_energy(self._log.ended)
        self._log.write(self._root)
        self._mlflow.close(self._finish)

    def amend(self) -> None:
        """Publish additions to the record that were made after the run had ended."""
        self._mlflow.amend(lambda publisher, _: publisher.publish(self.record))

    def _add_energy(self, at: int) -> None:
        watt_hours = self._energy.watt_hours()
        if watt_hours is not None:
            earlier = [point for point in self._log.points if point[0] == "energy_wh"]
            total = watt_hours + sum(value for _, _, value, _ in earlier)
            self._log.points = [point for point in self._log.points if point[0] != "energy_wh"]
            self._log.points.append(("energy_wh", 0, total, at))

    def _find_or_make(self, publisher: MlflowPublisher) -> PublishedRun:
        if self.record.kind == "evaluation":
            self._publish_others(publisher)  # first, because the evaluation is added to the run of its training
            return publisher.find(self.record.parent or self.record.key) or publisher.open(self.record, self._log)
        run = publisher.find(self.record.key)
        if run is None:
            return publisher.open(self.record, self._log)
        publisher.reopen(run)
        self._children = publisher.children(self.record.key)
        return run

    def _publish_others(self, publisher: MlflowPublisher) -> None:
        publish_all(publisher, self._root, exclude=self.record.key)
        close_killed_runs(publisher, self._root, exclude=self.record.key)

    def _finish(self, publisher: MlflowPublisher, run: PublishedRun) -> None:
        if self.record.kind == "evaluation":
            publisher.add_evaluation(run, self.record, self._log)
        else:
            publisher.finish(run, self.record, self._log)


@contextmanager
def track(record: RunRecord, root: Path = Path(".")) -> Iterator[LiveRun]:
    """Track a run. Its status is FINISHED at the end, FAILED after an exception, or KILLED after Ctrl-C.

    Args:
        record: Record with everything that is known at the start; the run completes it.
        root: Root folder of the repository.

    Yields:
        The active run.
    """
    run = LiveRun(record, root)
    try:
        run.open()
        yield run
    except KeyboardInterrupt:
        run.end("KILLED", "interrupted")
        raise
    except BaseException as error:
        run.end("FAILED", f"{type(error).__name__}: {message_of(error)}")
        raise
    finally:
        if record.status == "RUNNING":
            run.end("FINISHED", record.reason)
        run.close()
