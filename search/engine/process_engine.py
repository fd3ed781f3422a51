"""An engine that runs jobs in several processes on this machine."""

import math
import multiprocessing
import os
import signal
import socket
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from pipeline.backend.name import backend_name
from pipeline.data.training_data import TrainingData
from pipeline.errors import UserError
from pipeline.machine.device import visible_gpus
from search.engine.inline import timed_out
from search.engine.mapped_data import place_of
from search.engine.memory import has_grown
from search.engine.process_worker import serve
from search.study.job import Job, RungFunction, RungResult, train_rung

MAX_STARTS = 3  # give up after this many consecutive failed starts
MAX_START_SECONDS = 300.0  # a process that takes longer to start is replaced
MAX_TRANSFER_SECONDS = 60  # a process that neither sends nor receives the rest of a message is replaced
_LONGEST_WAIT = 3600.0  # seconds; poll() does not accept more than 24 days


@dataclass(eq=False)
class _Worker:
    """A process, and what it is doing.

    Attributes:
        place: Number of the worker, from 0. A process that replaces another one has the same number.
        process: The process.
        connection: Sends jobs, and receives a result and the resident memory in bytes; first, None when it is ready.
        deadline: When its start or its job is cancelled, in seconds of the monotonic clock.
        ready: Whether the process has imported the backend.
        number: Trial of its current job; None: it is idle or starts.
        memory: Resident memory after each of its first jobs, in bytes.
    """

    place: int
    process: BaseProcess
    connection: Connection
    deadline: float
    ready: bool = False
    number: int | None = None
    memory: list[int] = field(default_factory=list)


class ProcessEngine:
    """Runs each job in the next free process, in the order of submission.

    A process starts when there is a job for it. With TensorFlow on a processor, processes are forks of one that has
    imported TensorFlow and has not used it, so they start at once and share its memory. Otherwise each of them imports
    the backend itself.

    Args:
        data: The dataset and splits that all jobs use.
        workers: Largest number of processes. With GPUs, there is at most one for each.
        timeout_seconds: Time limit for each rung of a job, after which its process is killed. None means no limit.
        work: The function that runs a job.
        folder: Folder of the prepared data, which the processes map; None: the data are copied to each process.
    """

    def __init__(
        self,
        data: TrainingData,
        workers: int,
        timeout_seconds: float | None = None,
        work: RungFunction = train_rung,
        folder: Path | None = None,
    ) -> None:
        preload()
        self._gpus = visible_gpus()
        self._places = min(workers, len(self._gpus) or workers)
        self._timeout_seconds = math.inf if timeout_seconds is None else timeout_seconds
        self._arguments = (place_of(data, folder), work)
        self._context: Any = multiprocessing.get_context(_start_method())
        self._jobs: deque[tuple[int, Job]] = deque()
        self._done: dict[int, RungResult] = {}
        self._workers: list[_Worker] = []
        self._trained_by: dict[int, _Worker] = {}  # the process of each trial's last rung, which caches its network
        self._failed_starts = 0

    def submit(self, number: int, job: Job) -> None:
        """Send a job to a free process, or queue it until there is one."""
        self._jobs.append((number, job))
        self._collect(0.0)

    def wait(self, number: int | None) -> tuple[int, RungResult]:
        """Wait for the job of a trial, or for the first job that ends if `number` is None."""
        self._collect(0.0)
        while True:
            if number is None and self._done:
                number = next(iter(self._done))
            if number is not None and number in self._done:
                return number, self._done.pop(number)
            self._collect(_LONGEST_WAIT)

    def close(self) -> None:
        """Discard all jobs, and stop the processes."""
        self._jobs.clear()
        while self._workers:
            self._remove(self._workers[-1])

    def _collect(self, seconds: float) -> None:
        """Wait until a process is ready, ends a job, dies or takes too long; then send jobs to free processes."""
        left = min((worker.deadline for worker in self._workers), default=math.inf) - time.monotonic()
        by_connection = {worker.connection: worker for worker in self._workers}
        for connection in wait(by_connection, max(0.0, min(left, seconds))):
            worker = by_connection[connection]  # type: ignore[index]
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                self._on_death(worker)
            else:
                self._on_message(worker, message)
        now = time.monotonic()
        for worker in [worker for worker in self._workers if worker.deadline <= now]:
            if worker.ready:
                self._end(worker, RungResult(failure="timed_out", detail=timed_out(self._timeout_seconds)))
                self._remove(worker)
            else:
                self._fail_to_start(worker, f"it was not ready after {MAX_START_SECONDS:g} s")
        self._dispatch()

    def _on_message(self, worker: _Worker, message: Any) -> None:
        if isinstance(message, BaseException):  # the job itself raised it
            raise message
        if message is None:
            worker.ready, worker.deadline, self._failed_starts = True, math.inf, 0
            return
        result, memory = message
        self._end(worker, result)
        if has_grown(worker.memory, memory):
            self._remove(worker)

    def _on_death(self, worker: _Worker) -> None:
        if worker.process.is_alive():  # it was stopped while it sent its result
            worker.process.kill()
        worker.process.join()
        detail = f"its process ended with {_end_of(worker.process.exitcode)}"
        if not worker.ready:
            self._fail_to_start(worker, detail)
            return
        self._end(worker, RungResult(failure="worker_lost", detail=detail))
        self._remove(worker)

    def _fail_to_start(self, worker: _Worker, detail: str) -> None:
        self._remove(worker)
        self._failed_starts += 1
        if self._failed_starts >= MAX_STARTS:
            raise _cannot_start(detail)

    def _end(self, worker: _Worker, result: RungResult) -> None:
        if worker.number is not None:
            self._done[worker.number] = result
        worker.number, worker.deadline = None, math.inf

    def _dispatch(self) -> None:
        """Send queued jobs to free processes, and start processes for the others."""
        idle = [worker for worker in self._workers if worker.ready and worker.number is None]
        while self._jobs and idle:
            number, job = self._jobs.popleft()
            last = self._trained_by.get(number)
            worker = last if last in idle else idle[0]
            idle.remove(worker)
            try:
                worker.connection.send(job)
            except OSError:  # the process died without a job, or was stopped; `_collect` removes it
                worker.process.kill()
                self._jobs.appendleft((number, job))
                continue
            worker.number, self._trained_by[number] = number, worker
            worker.deadline = time.monotonic() + self._timeout_seconds * job.rungs
        starting = sum(not worker.ready for worker in self._workers)
        for _ in range(min(len(self._jobs) - starting, self._places - len(self._workers))):
            self._start()

    def _start(self) -> None:
        place = min(set(range(self._places)) - {worker.place for worker in self._workers})
        gpu = self._gpus[place] if self._gpus else None
        for attempt in range(1, MAX_STARTS + 1):
            mine, theirs = self._context.Pipe()
            process = self._context.Process(target=serve, args=(theirs, *self._arguments, gpu), daemon=True)
            try:
                process.start()
            except (EOFError, OSError) as error:  # the process from which workers are forked has just died
                mine.close()
                if attempt == MAX_STARTS:
                    raise _cannot_start(f"{type(error).__name__}: {error}") from None
                time.sleep(attempt)
            else:
                _limit_transfers(mine)
                self._workers.append(_Worker(place, process, mine, time.monotonic() + MAX_START_SECONDS))
                return
            finally:
                theirs.close()

    def _remove(self, worker: _Worker) -> None:
        """Stop a process, and release what belongs to it."""
        worker.process.kill()
        worker.process.join()
        worker.process.close()
        worker.connection.close()
        self._workers.remove(worker)
        self._trained_by = {number: each for number, each in self._trained_by.items() if each is not worker}


def preload() -> None:
    """Start to import TensorFlow in the process from which workers are forked. Meanwhile, this one continues."""
    if _start_method() == "forkserver":
        multiprocessing.set_forkserver_preload(["search.engine.preload"])
        forkserver.ensure_running()


def _start_method() -> str:
    """How processes start: a fork after CUDA, JAX or PyTorch have been loaded would not be safe."""
    forks = sys.platform == "linux" and backend_name() == "tensorflow" and not visible_gpus()
    return "forkserver" if forks else "spawn"


def _limit_transfers(connection: Connection) -> None:
    """Let reading and writing fail if the process at the other end, which may be stopped, does nothing for too long."""
    with socket.socket(fileno=os.dup(connection.fileno())) as other:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            other.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", MAX_TRANSFER_SECONDS, 0))


def _cannot_start(detail: str) -> UserError:
    return UserError(
        f"params.yaml: search.engine: a worker cannot start: {detail}; use fewer workers, or engine: inline with "
        "workers: 1"
    )


def _end_of(exitcode: int | None) -> str:
    """Describe how a process ended, such as `SIGTERM`."""
    if exitcode is None or exitcode >= 0:
        return f"exit status {exitcode}"
    if -exitcode == signal.SIGKILL:
        return "SIGKILL, as the system does when memory runs low (use fewer workers or a smaller search.budget)"
    try:
        return signal.Signals(-exitcode).name
    except ValueError:
        return f"signal {-exitcode}"
