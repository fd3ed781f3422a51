"""An engine that runs jobs on the workers of a Ray cluster, local or remote."""

import logging
import math
import os
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pipeline.data.training_data import TrainingData
from pipeline.errors import UserError, plural
from pipeline.params import RayParams
from pipeline.training.fingerprint import training_versions
from search.engine.inline import timed_out
from search.engine.mapped_data import MappedData, place_of, unmapped
from search.engine.memory import has_grown
from search.engine.ray_cluster import connect, first_sentence
from search.study.job import Job, RungFunction, RungResult, train_rung

_LOGGER = logging.getLogger(__name__)

# Delay before logging that no worker has started, and that some have not.
NONE_STARTED_SECONDS, SOME_MISSING_SECONDS = 15.0, 60.0
MAX_WAITING_SECONDS = 600.0  # give up after this long without a live worker
MAX_STARTS = 5  # give up after this many consecutive failed starts
_KILLED_FOR_MEMORY = "running low on memory"


@dataclass
class _Running:
    number: int
    worker: Any
    deadline: float


class _Worker:
    """A long-lived process that imports TensorFlow once and holds the data.

    Args:
        place: The data, or where they are.
        work: The function that runs a job.
        root: Working directory of the study, to which the paths of files of weights are relative. Workers on machines
            that have this folder work in it, too.
        versions: Versions with which the driver runs, see `training_versions`.
    """

    def __init__(
        self, place: TrainingData | MappedData, work: RungFunction, root: Path, versions: dict[str, str]
    ) -> None:
        _require_equal_versions(versions)
        self._place = place
        self._work = work
        if root.is_dir():
            os.chdir(root)

    def get_ready(self) -> bool:
        """Map the data and import slow libraries now, so that they do not count against the time limit of a job.

        Returns:
            Whether the worker is ready; False if it is on a machine without the data.
        """
        if isinstance(self._place, MappedData):
            mapped = self._place.read_if_here()
            if mapped is None:
                return False
            self._place = mapped
        if self._work is train_rung:
            from pipeline.backend.runtime import start_backend

            start_backend()
        return True

    def receive(self, data: TrainingData) -> bool:
        """Take the data from the object store of this machine, whose arrays all of its workers share."""
        self._place = data
        return self.get_ready()

    def run(self, job: Job) -> tuple[RungResult, int]:
        """Run a job, and return its result and the resident memory of the process afterwards, in bytes."""
        import psutil

        outcome = self._work(job, cast(TrainingData, self._place))
        return outcome, int(psutil.Process().memory_info().rss)


class RayEngine:
    """Runs each job on the next free worker, in the order of submission.

    Args:
        data: The dataset and splits that all jobs use.
        settings: The section `search.ray` of params.yaml: the cluster and the resources of each worker.
        workers: Number of workers.
        threads: Number of CPU threads per training.
        timeout_seconds: Time limit for each rung of a job, after which its worker is killed. None means no limit.
        work: The function that runs a job.
        folder: Folder of the prepared data. Workers on machines that have the same data at the same path map them; the
            other machines fetch them once, through the object store. None: all machines fetch them.

    Raises:
        UserError: Ray is not installed, or the cluster is unreachable or lacks resources.
    """

    def __init__(
        self,
        data: TrainingData,
        settings: RayParams,
        workers: int,
        threads: int,
        timeout_seconds: float | None = None,
        work: RungFunction = train_rung,
        folder: Path | None = None,
    ) -> None:
        self._ray = connect(settings, workers)
        if settings.gpus == 0 and self._ray.cluster_resources().get("GPU", 0.0) > 0:
            _LOGGER.warning("search.ray.gpus is 0, so the workers train on CPUs, although the cluster has GPUs")
        self._workers = workers
        self._timeout_seconds = timeout_seconds
        self._jobs: deque[tuple[int, Job]] = deque()
        self._running: dict[Any, _Running] = {}
        self._done: dict[int, RungResult] = {}
        self._memory: dict[Any, list[int]] = {}  # in bytes, by worker, after each of its first jobs
        self._trained_by: dict[int, Any] = {}  # the worker of each trial's last rung, which still caches its network
        self._data = data
        self._reference: Any = None  # of the data in the object store
        self._place = self._sent() if folder is None else place_of(data, folder)
        self._work = work
        options: dict[str, Any] = {"num_cpus": settings.cpus, "num_gpus": settings.gpus, "max_concurrency": 1}
        if settings.memory_gb is not None:
            options["memory"] = int(settings.memory_gb * 2**30)
        options["runtime_env"] = {"env_vars": _environment(threads, settings.gpus)}
        self._actor = self._ray.remote(_Worker).options(**options)
        self._idle: deque[Any] = deque()
        self._starting: dict[Any, Any] = {}  # workers by the reference of their `get_ready` call
        self._failed_starts = 0
        self._last_alive = self._last_whole = time.monotonic()  # last time that any worker was alive, and that all were
        self._warned = False
        for _ in range(workers):
            self._start_worker()

    def submit(self, number: int, job: Job) -> None:
        """Submit a job to a free worker, or queue it until there is one."""
        self._jobs.append((number, job))
        self._dispatch()

    def wait(self, number: int | None) -> tuple[int, RungResult]:
        """Wait for the job of a trial, or for the first job that ends if `number` is None."""
        while True:
            if number is None and self._done:
                number = next(iter(self._done))
            if number is not None and number in self._done:
                return number, self._done.pop(number)
            self._collect()

    def close(self) -> None:
        """Stop the workers, and the cluster if this process started it."""
        self._jobs.clear()
        for worker in (*self._idle, *self._starting.values(), *(each.worker for each in self._running.values())):
            self._ray.kill(worker)
        self._ray.shutdown()

    def _start_worker(self) -> None:
        worker = self._actor.remote(self._place, self._work, Path.cwd(), training_versions())
        self._starting[worker.get_ready.remote()] = worker

    def _dispatch(self) -> None:
        while self._jobs and self._idle:
            number, job = self._jobs.popleft()
            last = self._trained_by.get(number)
            worker = last if last is not None and last in self._idle else self._idle[0]
            self._idle.remove(worker)
            self._trained_by[number] = worker
            limit = math.inf if self._timeout_seconds is None else self._timeout_seconds * job.rungs
            self._running[worker.run.remote(job)] = _Running(number, worker, time.monotonic() + limit)

    def _collect(self) -> None:
        """Wait until a job ends or times out, store its result, and dispatch the next jobs."""
        left = min((each.deadline for each in self._running.values()), default=math.inf) - time.monotonic()
        # At most 2 seconds, so that Ctrl-C and a cluster without room are noticed.
        waited_for = [*self._running, *self._starting]
        ready, _ = self._ray.wait(waited_for, num_returns=1, timeout=max(0.0, min(left, 2.0)))
        for reference in ready:
            if reference in self._starting:
                self._on_worker_started(reference, self._starting.pop(reference))
            else:
                running = self._running.pop(reference)
                self._done[running.number] = self._outcome(reference, running.worker)
        now = time.monotonic()
        for reference in [reference for reference, each in self._running.items() if each.deadline <= now]:
            running = self._running.pop(reference)
            self._replace(running.worker)
            self._done[running.number] = RungResult(failure="timed_out", detail=timed_out(self._timeout_seconds or 0.0))
        self._check_there_is_room(now)
        self._dispatch()

    def _on_worker_started(self, reference: Any, worker: Any) -> None:
        """Add a worker that has started to the idle ones, or start another one if it failed to start."""
        exceptions = self._ray.exceptions
        try:
            ready = self._ray.get(reference)
        except exceptions.RayError as error:
            self._failed_starts += 1
            cause = getattr(error, "cause", None)
            if "creation task" in str(error) or cause is not None or self._failed_starts >= MAX_STARTS:
                raise _cannot_start(cause or error) from None
            self._start_worker()
        else:
            self._failed_starts = 0
            if ready:
                self._idle.append(worker)
            else:
                self._starting[worker.receive.remote(self._sent())] = worker

    def _sent(self) -> Any:
        """Reference of the data in the object store, into which they are put once."""
        if self._reference is None:
            self._reference = self._ray.put(self._data if self._data is None else unmapped(self._data))
        return self._reference

    def _check_there_is_room(self, now: float) -> None:
        """Log a message while workers cannot start, and raise an error if none has been alive for too long."""
        alive, missing = bool(self._idle or self._running), len(self._starting)
        if alive:
            self._last_alive = now
        if not missing:
            self._last_whole, self._warned = now, False
            return
        needs = f"{self._workers} Ray {plural(self._workers, 'worker')}"
        if now - self._last_whole > (SOME_MISSING_SECONDS if alive else NONE_STARTED_SECONDS) and not self._warned:
            self._warned = True
            some = f"{missing} of " if alive else ""
            _LOGGER.warning(f"waiting for {some}{needs} to start; check the resources of the cluster with `ray status`")
        if now - self._last_alive > MAX_WAITING_SECONDS:
            raise UserError(
                f"params.yaml: search.ray: {needs} must fit into the cluster, but none started within "
                f"{MAX_WAITING_SECONDS / 60:g} minutes; free resources, restart lost machines, or "
                "reduce cpus, gpus or memory_gb; then run the study again to resume it"
            )

    def _outcome(self, reference: Any, worker: Any) -> RungResult:
        exceptions = self._ray.exceptions
        try:
            outcome, memory = self._ray.get(reference)
        except exceptions.RayTaskError as error:  # the job itself raised it, so it is a bug
            if isinstance(error.cause, ModuleNotFoundError):
                raise _cannot_start(error.cause) from None
            raise error.as_instanceof_cause() from None
        except exceptions.OutOfMemoryError as error:
            self._replace(worker)
            return RungResult(failure="out_of_memory", detail=first_sentence(error))
        except exceptions.RayError as error:
            self._replace(worker)
            # If Ray killed an actor because memory ran low, only the error message says so.
            lacking = _KILLED_FOR_MEMORY in str(error)
            return RungResult(failure="out_of_memory" if lacking else "worker_lost", detail=first_sentence(error))
        if has_grown(self._memory.setdefault(worker, []), memory):
            self._replace(worker)
        else:
            self._idle.append(worker)
        return outcome  # type: ignore[no-any-return]

    def _replace(self, worker: Any) -> None:
        """Kill a worker, if it is still alive, and start another one."""
        self._ray.kill(worker)
        self._memory.pop(worker, None)
        self._start_worker()


def _require_equal_versions(expected: dict[str, str]) -> None:
    """Refuse to work with other versions than the driver, whose results would be others.

    Raises:
        RuntimeError: A version differs.
    """
    present = training_versions()
    different = [
        f"{name} {present.get(name, 'none')} instead of {each}"
        for name, each in expected.items()
        if present.get(name) != each
    ]
    if different:
        raise RuntimeError(f"it has other versions than the driver of the study: {', '.join(different)}")


def _cannot_start(error: BaseException) -> UserError:
    cause = str(error).strip().splitlines()[-1].strip()
    return UserError(
        "params.yaml: search.engine: a Ray worker cannot start with this project and its packages: "
        f"{cause}; install requirements.lock on every machine of the cluster"
    )


def _environment(threads: int, gpus: float) -> dict[str, str]:
    """Return the environment variables that the libraries of a worker read when they start."""
    kept = {name: os.environ[name] for name in ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL") if name in os.environ}
    hidden = {} if gpus else {"CUDA_VISIBLE_DEVICES": ""}  # by default, Ray exposes all GPUs to every worker
    return {"OMP_NUM_THREADS": str(threads), **kept, **hidden}
