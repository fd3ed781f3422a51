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
from pipeline.terminal import UserError, held_back_stderr
from search.engine import timed_out
from search.job import Data, Job, Outcome, Work, train_rung

# A worker whose memory has grown by this factor since its first job is replaced by a new one.
MOST_GROWTH = 1.5
_NEVER_STARTED = "creation task"
_KILLED_FOR_MEMORY = "running low on memory"
_PROBE_SECONDS = 5.0
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


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
        options["runtime_env"] = {"env_vars": _environment(threads)}
        self._actor = self._ray.remote(_Worker).options(**options)
        self._idle = deque(self._new_worker() for _ in range(workers))

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
        for worker in (*self._idle, *(each.worker for each in self._running.values())):
            self._ray.kill(worker)
        self._ray.shutdown()

    def _new_worker(self) -> Any:
        return self._actor.remote(self._data, self._work)

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
        left = min(each.deadline for each in self._running.values()) - time.monotonic()
        # Never without end: Ctrl-C and a lost node are looked for in between.
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=max(0.0, min(left, 5.0)))
        for reference in ready:
            running = self._running.pop(reference)
            self._done[running.number] = self._outcome(reference, running.worker)
        now = time.monotonic()
        for reference in [reference for reference, each in self._running.items() if each.deadline <= now]:
            running = self._running.pop(reference)
            self._replace(running.worker)
            self._done[running.number] = Outcome(failure="timed_out", detail=timed_out(self._timeout_seconds or 0.0))
        self._dispatch()

    def _outcome(self, reference: Any, worker: Any) -> Outcome:
        exceptions = self._ray.exceptions
        try:
            outcome, memory = self._ray.get(reference)
        except exceptions.RayTaskError as error:  # a bug in the job, raised there
            raise error.as_instanceof_cause() from None
        except exceptions.OutOfMemoryError as error:
            self._replace(worker)
            return Outcome(failure="out_of_memory", detail=_first_sentence(error))
        except exceptions.RayError as error:
            if _NEVER_STARTED in str(error):
                cause = str(error).strip().splitlines()[-1].strip()
                raise UserError(
                    f"params.yaml: search.engine: a Ray worker must be able to start with this project and its "
                    f"packages, but: {cause}; install requirements.lock on every machine of the cluster"
                ) from None
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
        self._idle.append(self._new_worker())


def _connect(settings: RayParams, workers: int) -> Any:
    """Ray, connected to a cluster that has what the workers need."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
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
    return UserError(
        f"params.yaml: search.ray.address: must be a Ray cluster within reach, got {address!r}: "
        f"{_first_sentence(error)}; start it (docs/cluster.md), or use null"
    )


def _check_resources(ray: Any, settings: RayParams, workers: int) -> None:
    """Say at once what Ray would wait for without end."""
    there = ray.cluster_resources()
    needs = {"CPU": (settings.cpus, "cpus"), "GPU": (settings.gpus, "gpus")}
    if settings.memory_gb is not None:
        needs["memory"] = (settings.memory_gb * 2**30, "memory_gb")
    for resource, (each, key) in needs.items():
        if each * workers > there.get(resource, 0.0) + 1e-9:
            scale, unit = (2**30, " GiB") if resource == "memory" else (1, "")
            ray.shutdown()
            raise UserError(
                f"params.yaml: search.ray.{key}: {workers} workers of {each / scale:g}{unit} need "
                f"{each * workers / scale:g}{unit}, but the cluster has {there.get(resource, 0.0) / scale:g}{unit}; "
                "lower it, or search.workers"
            )


def _environment(threads: int) -> dict[str, str]:
    """What a worker's libraries read when they start."""
    kept = {name: os.environ[name] for name in ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL") if name in os.environ}
    return {"OMP_NUM_THREADS": str(threads), **kept}


def _first_sentence(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
