"""Where jobs run."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from search.job import Data, Job, Outcome, Work, train_rung


class Engine(Protocol):
    """Runs the jobs of several trials.

    An engine knows neither the study nor its storage. It may run a job again, or elsewhere: a job is a pure function.
    """

    workers: int

    def run(self, jobs: Mapping[int, Job]) -> Iterator[tuple[int, Outcome]]:
        """Do the jobs, given by trial number; yield each outcome when it is there, in any order."""
        ...


class InlineEngine:
    """Runs one job after another in this process."""

    workers = 1

    def __init__(self, data: Data, work: Work = train_rung) -> None:
        self._data = data
        self._work = work

    def run(self, jobs: Mapping[int, Job]) -> Iterator[tuple[int, Outcome]]:
        """Do the jobs in the order of their trials."""
        for number in sorted(jobs):
            yield number, self._work(jobs[number], self._data)
