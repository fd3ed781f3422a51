"""Jobs in this process, one after another."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from search.study.job import Job, RungFunction, RungResult, StudyData, train_rung


class InlineEngine:
    """Runs one job at a time in this process, when its outcome is asked for.

    Args:
        data: of all jobs.
        timeout_seconds: a job that takes longer is broken off; None: any time. It needs the main thread.
        work: does a job.
    """

    def __init__(self, data: StudyData, timeout_seconds: float | None = None, work: RungFunction = train_rung) -> None:
        self._data = data
        self._timeout_seconds = timeout_seconds
        self._work = work
        self._jobs: dict[int, Job] = {}

    def submit(self, number: int, job: Job) -> None:
        """Keep a job until it is asked for."""
        self._jobs[number] = job

    def wait(self, number: int | None) -> tuple[int, RungResult]:
        """Do a job, or the one that was submitted first."""
        number = next(iter(self._jobs)) if number is None else number
        job = self._jobs.pop(number)
        try:
            with _time_limit(self._timeout_seconds):
                return number, self._work(job, self._data)
        except _TimeIsUp:
            return number, RungResult(failure="timed_out", detail=timed_out(self._timeout_seconds or 0.0))

    def close(self) -> None:
        """Forget the jobs."""
        self._jobs.clear()


class _TimeIsUp(BaseException):
    """Stops a job; no Exception, so that nothing in the job takes it for one of its own."""


@contextmanager
def _time_limit(seconds: float | None) -> Iterator[None]:
    """Raise _TimeIsUp in the block after so many seconds, between two steps of the interpreter."""
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_alarm(_: int, __: FrameType | None) -> None:
        raise _TimeIsUp

    before = signal.signal(signal.SIGALRM, on_alarm)
    # Again and again, since Python drops what is raised while an object is destroyed.
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def timed_out(seconds: float) -> str:
    """The sentence about a job that took too long."""
    return f"a rung took longer than search.timeout_minutes of {seconds / 60:g}"
