"""Publish records to MLflow. A run is identified by the key of its record, so no record is published twice."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pipeline.digest import digest
from pipeline.mlflow_server.connection import Server, failures
from pipeline.tracking.local_log import LocalLog, Point, milliseconds, read_local_log
from pipeline.tracking.mlflow_terms import dataset_inputs, description_tags, metric_name, tags_of
from pipeline.tracking.record import Kind, RunRecord, require_files_inside

if TYPE_CHECKING:
    from mlflow.entities import Run

KEY, PARENT, PUBLISHED, EVALUATED = "fovea.key", "fovea.parent", "fovea.published", "fovea.evaluated"
_METRICS_PER_CALL, _PARAMS_PER_CALL, _TAGS_PER_CALL = 800, 100, 100
_TEXT_LIMIT = 5000  # MLflow rejects longer values of tags


@dataclass
class PublishedRun:
    """A run in MLflow, and the data that it already has.

    Attributes:
        run_id: ID of the run.
        tags: Values of the tags, by name.
        params: Names of the params.
        latest: Latest value of each metric, by name.
        points: Value of each metric at each step, by name and step; None: not fetched yet.
        datasets: Digests of the datasets.
    """

    run_id: str
    tags: dict[str, str] = field(default_factory=dict)
    params: set[str] = field(default_factory=set)
    latest: dict[str, float] = field(default_factory=dict)
    points: dict[tuple[str, int], float] | None = None
    datasets: set[str] = field(default_factory=set)


class MlflowPublisher:
    """Publishes the records of one repository to one experiment of a server."""

    def __init__(self, server: Server, root: Path) -> None:
        self.server = server
        self.root = root
        self._client = server.client

    def find(self, key: str) -> PublishedRun | None:
        """Return the run of a key, or None; the oldest run if two processes created one at the same time."""
        found = self._search(f"tags.`{KEY}` = '{key}'")
        return next((self._known(run) for run in found), None)

    def children(self, key: str) -> dict[str, PublishedRun]:
        """Return the child runs of the run with a key, by their own keys."""
        return {run.data.tags.get(KEY, ""): self._known(run) for run in self._search(f"tags.`{PARENT}` = '{key}'")}

    def evaluated_on(self, test_digest: str) -> set[str]:
        """Return the digests of all networks that were evaluated on a test split."""
        runs = self._search(f"tags.test_digest = '{test_digest}'")
        return {run.data.tags["model_digest"] for run in runs if "model_digest" in run.data.tags}

    def is_published(self, record: RunRecord, run: PublishedRun | None) -> bool:
        """Return whether a run contains all of a record, except its children."""
        tag = EVALUATED if record.kind == "evaluation" else PUBLISHED
        return run is not None and run.tags.get(tag) == self._state(record)

    def publish(self, record: RunRecord) -> int:
        """Publish the missing parts of a record and its children, and return the number of runs created or updated.

        Raises:
            UserError: A file of the record is outside the repository.
        """
        for each in (record, *record.children):
            require_files_inside(each, self.root)
        log = read_local_log(self.root, record.key)
        if record.kind == "evaluation":
            run = self.find(record.parent or record.key)
            if self.is_published(record, run):
                return 0
            self.add_evaluation(run or self.open(record, log), record, log)
            return 1
        run = self.find(record.key)
        changed = 0
        if run is None or not self.is_published(record, run):
            run = run or self.open(record, log)
            self.finish(run, record, log)
            changed += 1
        known = self.children(record.key) if record.children else {}
        for child in record.children:
            changed += self.publish_child(child, run.run_id, log, known.get(child.key))
        return changed

    def publish_child(
        self, child: RunRecord, parent_id: str, parent_log: LocalLog, known: PublishedRun | None = None
    ) -> int:
        """Publish a finished child run in a few calls.

        Args:
            child: Record of the child.
            parent_id: ID of the parent's run.
            parent_log: Log of the parent, which has the times of the child.
            known: Run of the child in MLflow, if there is one.

        Returns:
            1 if the run was created or updated, 0 if it was already complete.
        """
        if self.is_published(child, known):
            return 0
        started, ended = parent_log.children.get(child.key, (None, None))
        log = LocalLog(child.key, started, ended, environment_tags=parent_log.environment_tags)
        self.finish(known or self.open(child, log, parent_id), child, log)
        return 1

    def open(self, record: RunRecord, log: LocalLog, parent_id: str | None = None) -> PublishedRun:
        """Create a run with the status RUNNING for a record."""
        parent = {PARENT: record.parent} if record.parent and record.kind != "evaluation" else {}
        nested = {"mlflow.parentRunId": parent_id} if parent_id else {}
        key = record.parent if record.kind == "evaluation" and record.parent else record.key
        tags = tags_of(record) | description_tags(record, log.note, {}) | log.environment_tags | parent | nested
        tags |= {KEY: key, "fovea.kind": record.kind}
        run = self._client.create_run(
            self.server.experiment_id,
            start_time=log.started or milliseconds(),
            tags={name: str(value)[:_TEXT_LIMIT] for name, value in tags.items()},
            run_name=record.name,
        )
        return PublishedRun(run.info.run_id, points={})

    def reopen(self, run: PublishedRun) -> None:
        """Set the status of a run that continues to RUNNING."""
        self._client.update_run(run.run_id, status="RUNNING")

    def close_running(self, key: str, ended: int) -> int:
        """Set the status KILLED of the runs of a key, and of their children, whose status is RUNNING.

        Returns:
            The number of these runs.
        """
        searches = (f"attributes.status = 'RUNNING' AND tags.`{tag}` = '{key}'" for tag in (KEY, PARENT))
        running = [run for search in searches for run in self._search(search)]
        for run in running:
            self._client.set_terminated(run.info.run_id, "KILLED", ended)
        return len(running)

    def responds(self) -> bool:
        """Return whether the server answers; then an earlier failure was due to what it was sent."""
        try:
            self._client.get_experiment(self.server.experiment_id)
        except failures():
            return False
        return True

    def add(self, run: PublishedRun, kind: Kind, points: Iterable[Point]) -> None:
        """Log metrics, except those that the run already has at the same step.

        Args:
            run: Run to log to.
            kind: Kind of the record, which determines the names of the metrics.
            points: Metrics of the record.
        """
        self._batches(run.run_id, metrics=self._missing(run, kind, points))

    def _missing(self, run: PublishedRun, kind: Kind, points: Iterable[Point]) -> list[Any]:
        """Return the metrics whose value the run does not have yet, and mark them as known."""
        from mlflow.entities import Metric

        known = run.points if run.points is not None else self._points(run)
        missing: dict[tuple[str, int], Any] = {}
        for name, step, value, at in points:
            point = metric_name(kind, name), step
            if point not in known or repr(known[point]) != repr(float(value)):
                missing[point] = Metric(point[0], float(value), at, step)
        run.points = known | {point: metric.value for point, metric in missing.items()}
        return list(missing.values())

    def finish(self, run: PublishedRun, record: RunRecord, log: LocalLog) -> None:
        """Update a run from its record, and end it."""
        from mlflow.entities import Param, RunTag

        ended = log.ended or milliseconds()
        points = [
            (name, step, value, log.times.get(str(step), log.ended or ended)) for name, step, value in record.metrics
        ]
        params = [Param(name, str(value)) for name, value in record.params.items() if name not in run.params]
        tags = tags_of(record) | description_tags(record, log.note, run.tags) | log.environment_tags
        tags |= {"fovea.kind": record.kind, "mlflow.runName": record.name}
        self._batches(
            run.run_id,
            metrics=self._missing(run, record.kind, [*points, *log.points]),
            params=params,
            tags=[RunTag(name, str(value)[:_TEXT_LIMIT]) for name, value in tags.items()],
        )
        self._add_dataset(run, record)
        self._add_files(run, record)
        self._client.set_terminated(run.run_id, record.status, ended)
        self._client.set_tag(run.run_id, PUBLISHED, self._state(record))

    def add_evaluation(self, run: PublishedRun, record: RunRecord, log: LocalLog) -> None:
        """Add an evaluation to the run of the training that it evaluates, without changing the run's status."""
        from mlflow.entities import Metric, Param, RunTag

        at = log.ended or milliseconds()
        metrics = [
            Metric(named, value, at, step)
            for name, step, value in (*record.metrics, *(point[:3] for point in log.points))
            if run.latest.get(named := metric_name("evaluation", name)) != value
        ]
        params = [Param(name, str(value)) for name, value in record.params.items() if name not in run.params]
        tags = {name: value for name, value in tags_of(record).items() if not name.startswith("mlflow.")}
        tags |= description_tags(record, log.note, run.tags) | {"evaluation.status": record.status}
        self._add_dataset(run, record)
        self._add_files(run, record)
        if PUBLISHED not in run.tags:  # the run was created for this evaluation, so nothing else ends it
            self._client.set_terminated(run.run_id, record.status, at)
        state = {EVALUATED: self._state(record)}
        self._batches(
            run.run_id, metrics, params, [RunTag(name, value[:_TEXT_LIMIT]) for name, value in (tags | state).items()]
        )

    def _batches(
        self, run_id: str, metrics: Sequence[Any] = (), params: Sequence[Any] = (), tags: Sequence[Any] = ()
    ) -> None:
        """Log everything in as few calls as MLflow's limits allow; a trial needs only one."""
        sizes = (_METRICS_PER_CALL, _PARAMS_PER_CALL, _TAGS_PER_CALL)
        parts = (_parts(items, size) for items, size in zip((metrics, params, tags), sizes, strict=True))
        for some_metrics, some_params, some_tags in zip_longest(*parts, fillvalue=()):
            self._client.log_batch(run_id, metrics=some_metrics, params=some_params, tags=some_tags)

    def _add_dataset(self, run: PublishedRun, record: RunRecord) -> None:
        if inputs := dataset_inputs(record.dataset, run.datasets):
            self._client.log_inputs(run.run_id, inputs)

    def _add_files(self, run: PublishedRun, record: RunRecord) -> None:
        for name, text in record.texts.items():
            self._client.log_text(run.run_id, text, name)
        for name, path in self._pages(record).items():
            self._client.log_text(run.run_id, (self.root / path).read_text(encoding="utf-8"), name)
        for path in self._present(record):
            parent = PurePosixPath(path).parent.as_posix().removeprefix("reports").strip("/.")
            self._client.log_artifact(run.run_id, str(self.root / path), parent or None)

    def _present(self, record: RunRecord) -> list[str]:
        return [path for path in record.artifacts if (self.root / path).is_file()]

    def _pages(self, record: RunRecord) -> dict[str, str]:
        """Return the first existing file of each page, by the page's name."""
        present = {
            name: [path for path in paths if (self.root / path).is_file()] for name, paths in record.pages.items()
        }
        return {name: paths[0] for name, paths in present.items() if paths}

    def _state(self, record: RunRecord) -> str:
        """Return a digest of a record and of the list of its files that exist; a file added later changes it."""
        return digest(record.digest, self._present(record), self._pages(record))

    def _search(self, condition: str) -> "Iterator[Run]":
        token = None
        while True:
            page = self._client.search_runs(
                [self.server.experiment_id], condition, order_by=["attributes.start_time ASC"], page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _points(self, run: PublishedRun) -> dict[tuple[str, int], float]:
        """Fetch the latest value of each metric at each step of a run, except system metrics."""
        names = [name for name in run.latest if not name.startswith("system/")]
        histories = ((name, self._client.get_metric_history(run.run_id, name)) for name in names)
        return {
            (name, metric.step): metric.value
            for name, history in histories
            for metric in sorted(history, key=lambda metric: metric.timestamp)
        }

    def _known(self, run: "Run") -> PublishedRun:
        datasets = {entry.dataset.digest for entry in run.inputs.dataset_inputs} if run.inputs else set()
        return PublishedRun(
            run.info.run_id, dict(run.data.tags), set(run.data.params), dict(run.data.metrics), datasets=datasets
        )


def _parts(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part
