"""An engine that runs jobs in several processes on this machine."""

import math
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from pipeline.backend.name import backend_name
from pipeline.data.training_data import TrainingData, read_training_data
from pipeline.errors import UserError
from pipeline.machine.device import gpu_handles
from search.engine.inline import timed_out
from search.engine.memory import has_grown
from search.study.job import Job, RungFunction, RungResult, train_rung

_PRELOADED = "search.engine.preload"
MAX_STARTS = 3  # give up after this many consecutive failed starts


@dataclass(eq=False)
class _Worker:
    """A process, and what it is doing.

    Attributes:
        process: The process.
        connection: Sends jobs, and receives a result and the resident memory in bytes; first, None when it is ready.
        ready: Whether the process has imported the backend.
        number: Trial of its current job; None: it is idle or starts.
        deadline: When the job is cancelled, in seconds of the monotonic clock.
        memory: Resident memory after each of its first jobs, in bytes.
    """

    process: BaseProcess
    connection: Connection
    ready: bool = False
    number: int | None = None
    deadline: float = math.inf
    memory: list[int] = field(default_factory=list)


class ProcessEngine:
    """Runs each job in the next free process, in the order of submission.

    The processes are forks of one that has imported TensorFlow and has not used it, so they start in milliseconds and
    share its memory. With a GPU, or another backend, each of them imports the backend itself.

    Args:
        data: The dataset and splits that all jobs use, or the folder of prepared data, which all processes map.
        workers: Number of processes.
        timeout_seconds: Time limit for each rung of a job, after which its process is killed. None means no limit.
        work: The function that runs a job.
    """

    def __init__(
        self,
        data: TrainingData | Path,
        workers: int,
        timeout_seconds: float | None = None,
        work: RungFunction = train_rung,
    ) -> None:
        self._data, self._work = data, work
        self._timeout_seconds = math.inf if timeout_seconds is None else timeout_seconds
        self._jobs: deque[tuple[int, Job]] = deque()
        self._done: dict[int, RungResult] = {}
        self._trained_by: dict[int, _Worker] = {}  # the process of each trial's last rung, which caches its network
        self._failed_starts = 0
        self._context: Any = multiprocessing.get_context(_start_method())
        self._workers = [self._start() for _ in range(workers)]

    def submit(self, number: int, job: Job) -> None:
        """Send a job to a free process, or queue it until there is one."""
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
        """Discard all jobs, and stop the processes."""
        self._jobs.clear()
        for worker in self._workers:
            _kill(worker)

    def _start(self) -> _Worker:
        mine, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._data, self._work), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, mine)

    def _dispatch(self) -> None:
        idle = [worker for worker in self._workers if worker.ready and worker.number is None]
        while self._jobs and idle:
            number, job = self._jobs.popleft()
            last = self._trained_by.get(number)
            worker = last if last in idle else idle[0]
            idle.remove(worker)
            worker.number, self._trained_by[number] = number, worker
            worker.deadline = time.monotonic() + self._timeout_seconds * job.rungs
            with suppress(OSError):  # of a process that was killed, which `_collect` sees, too
                worker.connection.send(job)

    def _collect(self) -> None:
        """Wait until a process is ready, ends a job, dies or exceeds the time limit, and dispatch the next jobs."""
        left = min(worker.deadline for worker in self._workers) - time.monotonic()
        by_connection = {worker.connection: worker for worker in self._workers}
        for connection in wait(by_connection, None if left == math.inf else max(0.0, left)):
            worker = by_connection[connection]  # type: ignore[index]
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                self._lose(worker)
            else:
                self._receive(worker, message)
        now = time.monotonic()
        for worker in [worker for worker in self._workers if worker.deadline <= now]:
            self._end(worker, RungResult(failure="timed_out", detail=timed_out(self._timeout_seconds)))
            self._replace(worker)
        self._dispatch()

    def _receive(self, worker: _Worker, message: Any) -> None:
        if isinstance(message, BaseException):  # the job itself raised it
            raise message
        if message is None:
            worker.ready, self._failed_starts = True, 0
            return
        result, memory = message
        self._end(worker, result)
        if has_grown(worker.memory, memory):
            self._replace(worker)

    def _end(self, worker: _Worker, result: RungResult) -> None:
        if worker.number is not None:
            self._done[worker.number] = result
        worker.number, worker.deadline = None, math.inf

    def _lose(self, worker: _Worker) -> None:
        """Start another process in place of one that has died."""
        worker.process.join()
        detail = f"its process ended with {_end_of(worker.process.exitcode)}"
        self._failed_starts += not worker.ready
        if self._failed_starts >= MAX_STARTS:
            raise UserError(f"params.yaml: search.engine: a worker cannot start: {detail}; use engine: inline")
        self._end(worker, RungResult(failure="worker_lost", detail=detail))
        self._replace(worker)

    def _replace(self, worker: _Worker) -> None:
        _kill(worker)
        self._workers[self._workers.index(worker)] = self._start()


def preload() -> None:
    """Start to import TensorFlow in another process, from which workers are forked. Meanwhile, this one continues."""
    if _start_method() == "forkserver":
        multiprocessing.set_forkserver_preload([_PRELOADED])
        forkserver.ensure_running()


def _start_method() -> str:
    """How processes start: a fork after CUDA, JAX or PyTorch have been loaded would not be safe."""
    forks = sys.platform == "linux" and backend_name() == "tensorflow" and gpu_handles() is None
    return "forkserver" if forks else "spawn"


def _kill(worker: _Worker) -> None:
    worker.process.kill()
    worker.process.join()
    worker.connection.close()


def _end_of(exitcode: int | None) -> str:
    """Describe how a process ended, such as `SIGKILL`."""
    if exitcode is None or exitcode >= 0:
        return f"exit status {exitcode}"
    try:
        return signal.Signals(-exitcode).name
    except ValueError:
        return f"signal {-exitcode}"


def _serve(connection: Connection, data: TrainingData | Path, work: RungFunction) -> None:
    """Run jobs until the connection is closed, or the process of the engine has ended."""
    import psutil

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the engine stops this one
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    try:
        if isinstance(data, Path):
            data = read_training_data(data)
        if work is train_rung:
            from pipeline.backend.runtime import start_backend

            start_backend()
        connection.send(None)
        while True:
            result = work(connection.recv(), data)
            connection.send((result, int(psutil.Process().memory_info().rss)))
    except (EOFError, ConnectionError):
        return
    except Exception as error:
        connection.send(_picklable(error))


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _picklable(error: Exception) -> Exception:
    """Return the error, that of a bug with its traceback as a note; RuntimeError with it if it cannot be sent."""
    import pickle

    lines = traceback.format_exc()
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(lines)
    if not isinstance(error, UserError):
        error.add_note(lines)
    return error
