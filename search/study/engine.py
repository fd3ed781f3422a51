"""The interface of the engines that run the jobs of a study."""

from typing import Protocol

from search.study.job import Job, RungResult


class Engine(Protocol):
    """Runs the jobs of several trials, one job per trial at a time.

    An engine has no access to the study or its storage. It may repeat a job or run it anywhere, because a job is a pure
    function.
    """

    def submit(self, number: int, job: Job) -> None:
        """Accept the next job of a trial."""
        ...

    def wait(self, number: int | None) -> tuple[int, RungResult]:
        """Return the number and the result of a trial's job, or of the first job that ends if `number` is None."""
        ...

    def close(self) -> None:
        """Discard all jobs, and release the workers."""
        ...
