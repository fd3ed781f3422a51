"""Jobs on the workers of a Ray cluster, of this machine or of several."""

import math
import os
import socket
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.params import RayParams
from pipeline.terminal import UserError, held_back_stderr, say
from search.engine import timed_out
from search.job import Data, Job, Outcome, Work, train_rung

# A worker whose memory has grown by this factor since its first job is replaced by a new one.
MOST_GROWTH = 1.5
# Without a single worker, the cluster has so long to make room for one; after the first time the user is told.
TELL_SECONDS, MOST_WAITING_SECONDS = 15.0, 600.0
MOST_STARTS = 5  # in a row that fail
_KILLED_FOR_MEMORY = "running low on memory"
_PROBE_SECONDS = 5.0


@dataclass
class _Running:
    number: int
    worker: Any
    deadline: float


class _Worker:
    """A process that stays warm: it imports TensorFlow once, and holds the data."""

    def __init__(self, data: Data, work: Work) -> None:
        self._data = data
        self._work = work

    def get_ready(self) -> None:
        """Import what takes long, which no job's time limit is meant for."""
        if self._work is train_rung:
            from pipeline.cnn.runtime import start_backend

            start_backend()

    def run(self, job: Job) -> tuple[Outcome, int]:
        """Do a job; gives its outcome, and the bytes of memory that the process has then."""
        import psutil

        outcome = self._work(job, self._data)
        return outcome, int(psutil.Process().memory_info().rss)


class RayEngine:
    """Runs each job on the next free worker, in the order of submission.

    Args:
        data: of all jobs; it goes into the object store once.
        settings: which cluster, and what each worker needs of it.
        workers: how many.
        threads: processor threads of a training.
        timeout_seconds: a job that takes longer is cancelled by force; None: any time.
        work: does a job.

    Raises:
        UserError: Ray is not installed, the cluster is out of reach, or has less than the workers need.
    """

    def __init__(
        self,
        data: Data,
        settings: RayParams,
        workers: int,
        threads: int,
        timeout_seconds: float | None = None,
        work: Work = train_rung,
    ) -> None:
        self._ray = _connect(settings, workers)
        if settings.gpus == 0 and self._ray.cluster_resources().get("GPU", 0.0) > 0:
            say("search.ray.gpus is 0, so the workers train on processors, although the cluster has GPUs")
        self._workers = workers
        self._timeout_seconds = timeout_seconds
        self._jobs: deque[tuple[int, Job]] = deque()
        self._running: dict[Any, _Running] = {}
        self._done: dict[int, Outcome] = {}
        self._first_memory: dict[Any, int] = {}
        self._trained_by: dict[int, Any] = {}  # the worker that did a trial's last rung, and has its network warm
        self._data = self._ray.put(data)
        self._work = work
        options: dict[str, Any] = {"num_cpus": settings.cpus, "num_gpus": settings.gpus, "max_concurrency": 1}
        if settings.memory_gb is not None:
            options["memory"] = int(settings.memory_gb * 2**30)
        options["runtime_env"] = {"env_vars": _environment(threads, settings.gpus)}
        self._actor = self._ray.remote(_Worker).options(**options)
        self._idle: deque[Any] = deque()
        self._starting: dict[Any, Any] = {}  # workers by the reference that is there when they are ready
        self._failed_starts = 0
        self._last_seen, self._told = time.monotonic(), False  # a worker that lived; that none does
        for _ in range(workers):
            self._start_worker()

    def submit(self, number: int, job: Job) -> None:
        """Hand a job to a free worker, or keep it until there is one."""
        self._jobs.append((number, job))
        self._dispatch()

    def wait(self, number: int | None) -> tuple[int, Outcome]:
        """Wait for a trial's job, or for whichever is there first."""
        while True:
            if number is None and self._done:
                number = next(iter(self._done))
            if number is not None and number in self._done:
                return number, self._done.pop(number)
            self._collect()

    def close(self) -> None:
        """End the workers, and the cluster if this process started it."""
        self._jobs.clear()
        for worker in (*self._idle, *self._starting.values(), *(each.worker for each in self._running.values())):
            self._ray.kill(worker)
        self._ray.shutdown()

    def _start_worker(self) -> None:
        worker = self._actor.remote(self._data, self._work)
        self._starting[worker.get_ready.remote()] = worker

    def _dispatch(self) -> None:
        while self._jobs and self._idle:
            number, job = self._jobs.popleft()
            last = self._trained_by.get(number)
            worker = last if last is not None and last in self._idle else self._idle[0]
            self._idle.remove(worker)
            self._trained_by[number] = worker
            limit = math.inf if self._timeout_seconds is None else self._timeout_seconds
            self._running[worker.run.remote(job)] = _Running(number, worker, time.monotonic() + limit)

    def _collect(self) -> None:
        """Wait until a job is done or out of time, take its outcome, and give its worker the next one."""
        left = min((each.deadline for each in self._running.values()), default=math.inf) - time.monotonic()
        # Never for long: Ctrl-C, and a cluster without room, are looked for in between.
        waited_for = [*self._running, *self._starting]
        ready, _ = self._ray.wait(waited_for, num_returns=1, timeout=max(0.0, min(left, 2.0)))
        for reference in ready:
            if reference in self._starting:
                self._welcome(reference, self._starting.pop(reference))
            else:
                running = self._running.pop(reference)
                self._done[running.number] = self._outcome(reference, running.worker)
        now = time.monotonic()
        for reference in [reference for reference, each in self._running.items() if each.deadline <= now]:
            running = self._running.pop(reference)
            self._replace(running.worker)
            self._done[running.number] = Outcome(failure="timed_out", detail=timed_out(self._timeout_seconds or 0.0))
        self._check_there_is_room(now)
        self._dispatch()

    def _welcome(self, reference: Any, worker: Any) -> None:
        """Take a worker into service that has started, or start another one in its place."""
        exceptions = self._ray.exceptions
        try:
            self._ray.get(reference)
        except exceptions.RayError as error:
            self._failed_starts += 1
            cause = getattr(error, "cause", None)
            if "creation task" in str(error) or cause is not None or self._failed_starts >= MOST_STARTS:
                raise _cannot_start(cause or error) from None
            self._start_worker()
        else:
            self._failed_starts = 0
            self._idle.append(worker)

    def _check_there_is_room(self, now: float) -> None:
        """Tell the user that no worker has a place to run, and do not wait for one without end."""
        if self._idle or self._running:
            self._last_seen, self._told = now, False
            return
        waited = now - self._last_seen
        needs = f"{self._workers} Ray worker{'s' * (self._workers > 1)}"
        if waited > MOST_WAITING_SECONDS:
            raise UserError(
                f"params.yaml: search.ray: {needs} must find room in the cluster, but none did in "
                f"{MOST_WAITING_SECONDS / 60:g} minutes; free what others hold, start the machine that was lost, or "
                "lower cpus, gpus or memory_gb; the study goes on when it is run again"
            )
        if waited > TELL_SECONDS and not self._told:
            self._told = True
            say(f"waiting for {needs} to start; `ray status` tells whether the cluster has room")

    def _outcome(self, reference: Any, worker: Any) -> Outcome:
        exceptions = self._ray.exceptions
        try:
            outcome, memory = self._ray.get(reference)
        except exceptions.RayTaskError as error:  # raised in the job, as a bug is
            if isinstance(error.cause, ModuleNotFoundError):
                raise _cannot_start(error.cause) from None
            raise error.as_instanceof_cause() from None
        except exceptions.OutOfMemoryError as error:
            self._replace(worker)
            return Outcome(failure="out_of_memory", detail=_first_sentence(error))
        except exceptions.RayError as error:
            self._replace(worker)
            # Of an actor that Ray killed for want of memory, only the reason of its death tells.
            lacking = _KILLED_FOR_MEMORY in str(error)
            return Outcome(failure="out_of_memory" if lacking else "worker_lost", detail=_first_sentence(error))
        first = self._first_memory.setdefault(worker, memory)
        if memory > first * MOST_GROWTH:
            self._replace(worker)
        else:
            self._idle.append(worker)
        return outcome  # type: ignore[no-any-return]

    def _replace(self, worker: Any) -> None:
        """End a worker, if it still lives, and start another one in its place."""
        self._ray.kill(worker)
        self._first_memory.pop(worker, None)
        self._start_worker()


def _connect(settings: RayParams, workers: int) -> Any:
    """Ray, connected to a cluster that has what the workers need."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise UserError(
            "params.yaml: search.engine: ray needs the Python package ray, which is not installed; "
            "install fovea[ray], or use engine: inline"
        ) from None
    _probe(settings.address)
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "ignore_reinit_error": False}
    try:
        with held_back_stderr(True):
            if settings.address is None:
                ray.init(
                    address="local",  # not a cluster that somebody else has started here
                    num_cpus=max(os.cpu_count() or 1, math.ceil(workers * settings.cpus)),
                    include_dashboard=False,
                    _node_ip_address="127.0.0.1",
                    **common,
                )
            else:
                root = Path(__file__).resolve().parent.parent
                modules = [str(root / "pipeline"), str(root / "search")]
                ray.init(address=settings.address, runtime_env={"py_modules": modules}, **common)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise _out_of_reach(settings.address, error) from None
    _check_resources(ray, settings, workers)
    return ray


def _probe(address: str | None) -> None:
    """Knock at a cluster's door; Ray itself would knock for minutes."""
    host, separator, port = (address or "").removeprefix("ray://").rpartition(":")
    if not separator or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), _PROBE_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _out_of_reach(address, error) from None


def _out_of_reach(address: str | None, error: BaseException) -> UserError:
    if address is None:
        return UserError(
            "params.yaml: search.engine: ray must be able to start Ray on this machine, but: "
            f"{_first_sentence(error)}; use engine: inline"
        )
    return UserError(
        f"params.yaml: search.ray.address: must be a Ray cluster within reach, got {address!r}: "
        f"{_first_sentence(error)}; start it (docs/cluster.md), or use null"
    )


def _cannot_start(error: BaseException) -> UserError:
    cause = str(error).strip().splitlines()[-1].strip()
    return UserError(
        "params.yaml: search.engine: a Ray worker must be able to start with this project and its packages, but: "
        f"{cause}; install requirements.lock on every machine of the cluster"
    )


def _check_resources(ray: Any, settings: RayParams, workers: int) -> None:
    """Say at once what Ray would wait for without end."""
    needs = {"CPU": (settings.cpus, "cpus"), "GPU": (settings.gpus, "gpus")}
    if settings.memory_gb is not None:
        needs["memory"] = (settings.memory_gb * 2**30, "memory_gb")
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for resource, (each, key) in needs.items():
        there = sum(machine.get(resource, 0.0) for machine in machines)
        scale, unit = (2**30, " GiB") if resource == "memory" else (1, "")
        wanted = f"params.yaml: search.ray.{key}: {workers} workers of {each / scale:g}{unit}"
        if each * workers > there + 1e-9:
            ray.shutdown()
            raise UserError(
                f"{wanted} need {each * workers / scale:g}{unit}, but the cluster has {there / scale:g}{unit}; "
                "lower it, or search.workers"
            )
        places = sum(math.floor(machine.get(resource, 0.0) / each + 1e-9) for machine in machines) if each else workers
        if places < workers:
            ray.shutdown()
            raise UserError(
                f"{wanted} must each find room on one machine of the cluster, but only {places} do; lower it, or "
                "search.workers"
            )


def _environment(threads: int, gpus: float) -> dict[str, str]:
    """What a worker's libraries read when they start."""
    kept = {name: os.environ[name] for name in ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL") if name in os.environ}
    hidden = {} if gpus else {"CUDA_VISIBLE_DEVICES": ""}  # Ray itself would leave all GPUs to every worker
    return {"OMP_NUM_THREADS": str(threads), **kept, **hidden}


def _first_sentence(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
