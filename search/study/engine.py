"""What a study asks of an engine."""

from typing import Protocol

from search.study.job import Job, RungResult


class Engine(Protocol):
    """Runs the jobs of several trials, one job a trial at a time.

    An engine knows neither the study nor its storage. It may run a job again, or elsewhere: a job is a pure function.
    """

    def submit(self, number: int, job: Job) -> None:
        """Take on the next job of a trial."""
        ...

    def wait(self, number: int | None) -> tuple[int, RungResult]:
        """The outcome of a trial's job, or of whichever is there first, with the number of its trial."""
        ...

    def close(self) -> None:
        """Drop all jobs, and let go of the workers."""
        ...
