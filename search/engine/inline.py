"""An engine that runs jobs in this process, one after another."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType

from pipeline.data.training_data import TrainingData
from search.study.job import Job, RungFunction, RungResult, train_rung

_LOGGER = logging.getLogger(__name__)
_AHEAD = 2  # number of jobs that are prepared


class InlineEngine:
    """Runs one job at a time in this process, when its result is requested.

    Args:
        data: The dataset and splits that all jobs use.
        timeout_seconds: Time limit for each rung of a job. None means no limit. It works only in the main thread.
        work: The function that runs a job.
        prepare: A function that prepares a job in another thread while earlier jobs run. It must not change results.
            None means no preparation.
    """

    def __init__(
        self,
        data: TrainingData,
        timeout_seconds: float | None = None,
        work: RungFunction = train_rung,
        prepare: Callable[[Job, TrainingData], None] | None = None,
    ) -> None:
        self._data = data
        self._timeout_seconds = timeout_seconds
        self._work = work
        self._prepare = prepare
        self._jobs: dict[int, Job] = {}
        self._started = False
        self._prepared: dict[int, Future[None]] = {}
        self._thread = ThreadPoolExecutor(1, "prepare")

    def submit(self, number: int, job: Job) -> None:
        """Keep a job until `wait` requests its result."""
        self._jobs[number] = job

    def wait(self, number: int | None) -> tuple[int, RungResult]:
        """Run the job of a trial, or the job that was submitted first if `number` is None."""
        number = next(iter(self._jobs)) if number is None else number
        job = self._jobs.pop(number)
        if (prepared := self._prepared.pop(number, None)) is not None:
            prepared.cancel()  # if it has not begun
        self._prepare_next()
        try:
            with _time_limit(None if self._timeout_seconds is None else self._timeout_seconds * job.rungs):
                result = self._work(job, self._data)
            self._started = True
            return number, result
        except _TimeIsUp:
            return number, RungResult(failure="timed_out", detail=timed_out(self._timeout_seconds or 0.0))

    def _prepare_next(self) -> None:
        """Prepare the next jobs, except later rungs, which usually find what the first one built.

        Nothing is prepared before a job has ended, since the first one imports the backend.
        """
        if not self._started:
            return
        for number, job in self._jobs.items():
            if len(self._prepared) < _AHEAD and number not in self._prepared and job.state is None:
                self._prepared[number] = self._thread.submit(self._prepare_job, job)

    def _prepare_job(self, job: Job) -> None:
        try:
            if self._prepare is not None:
                self._prepare(job, self._data)
        except Exception as error:  # the job itself will have the same one, and report it
            _LOGGER.debug(f"a network could not be built ahead of time: {error}")

    def close(self) -> None:
        """Discard all jobs."""
        self._jobs.clear()
        self._thread.shutdown(cancel_futures=True)


class _TimeIsUp(BaseException):
    """Interrupts a job. It derives from BaseException, so that no `except Exception` in the job catches it."""


@contextmanager
def _time_limit(seconds: float | None) -> Iterator[None]:
    """Raise _TimeIsUp in the block after the given seconds, between two bytecode instructions."""
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_alarm(_: int, __: FrameType | None) -> None:
        raise _TimeIsUp

    before = signal.signal(signal.SIGALRM, on_alarm)
    # The alarm repeats, because Python ignores an exception that is raised while an object is destroyed.
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def timed_out(seconds: float) -> str:
    """Return the error message about a rung that exceeded the time limit."""
    return f"a rung took longer than search.rung_timeout_minutes of {seconds / 60:g}"
