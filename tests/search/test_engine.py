"""The engine of one process."""

import time
from typing import cast

from search.engine import InlineEngine
from search.job import Data, Job, Outcome

NOTHING, ANY_JOB = cast(Data, None), cast(Job, None)


class Stubborn:
    """Takes every exception for its own, as a library may, and drops one that is raised while it is destroyed."""

    def __del__(self) -> None:
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            pass


def never_end(job: Job, data: Data) -> Outcome:
    while True:
        try:
            del [Stubborn()][0]
            time.sleep(0.01)
        except Exception:
            pass


def test_a_job_over_its_time_is_broken_off_whatever_it_catches() -> None:
    engine = InlineEngine(NOTHING, timeout_seconds=0.2, work=never_end)
    engine.submit(7, ANY_JOB)
    began = time.monotonic()
    number, outcome = engine.wait(7)
    assert (number, outcome.failure) == (7, "timed_out")
    assert outcome.detail == "a rung took longer than search.timeout_minutes of 0.00333333"
    assert time.monotonic() - began < 30


def test_a_job_within_its_time_is_left_alone() -> None:
    engine = InlineEngine(NOTHING, timeout_seconds=0.3, work=lambda job, data: Outcome(detail="done"))
    engine.submit(1, ANY_JOB)
    assert engine.wait(None) == (1, Outcome(detail="done"))
    time.sleep(0.5)  # the alarm would ring now
