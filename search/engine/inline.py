"""An engine that runs jobs in this process, one after another."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pipeline.data.training_data import TrainingData
from search.study.job import Job, RungFunction, RungResult, train_rung


class InlineEngine:
    """Runs one job at a time in this process, when its result is requested.

    Args:
        data: The dataset and splits that all jobs use.
        timeout_seconds: Time limit for each rung of a job. None means no limit. It works only in the main thread.
        work: The function that runs a job.
    """

    def __init__(
        self, data: TrainingData, timeout_seconds: float | None = None, work: RungFunction = train_rung
    ) -> None:
        self._data = data
        self._timeout_seconds = timeout_seconds
        self._work = work
        self._jobs: dict[int, Job] = {}

    def submit(self, number: int, job: Job) -> None:
        """Keep a job until `wait` requests its result."""
        self._jobs[number] = job

    def wait(self, number: int | None) -> tuple[int, RungResult]:
        """Run the job of a trial, or the job that was submitted first if `number` is None."""
        number = next(iter(self._jobs)) if number is None else number
        job = self._jobs.pop(number)
        try:
            with _time_limit(None if self._timeout_seconds is None else self._timeout_seconds * job.rungs):
                return number, self._work(job, self._data)
        except _TimeIsUp:
            return number, RungResult(failure="timed_out", detail=timed_out(self._timeout_seconds or 0.0))

    def close(self) -> None:
        """Discard all jobs."""
        self._jobs.clear()


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
