"""The engine that runs jobs in its own process."""

import signal
import time
from contextlib import suppress
from dataclasses import replace
from typing import cast

import pytest

from pipeline.data.training_data import TrainingData
from search.engine.inline import InlineEngine
from search.study.job import Job, RungResult
from tests.pipeline.training.trainings import PLAIN, training

NOTHING = cast(TrainingData, None)
ANY_JOB = Job(PLAIN, training(), seed=1, shares=(1.0,), until=1, state=None)


class Stubborn:
    """Takes so long to be destroyed that the alarm goes off meanwhile, in which case Python drops the exception."""

    def __del__(self) -> None:
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            pass


def never_end(job: Job, data: TrainingData) -> RungResult:
    """Suppress every exception, as a library may."""
    Stubborn()
    while True:
        with suppress(Exception):
            time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*Stubborn.__del__:pytest.PytestUnraisableExceptionWarning")
def test_a_job_over_its_time_limit_is_stopped_even_if_it_catches_exceptions() -> None:
    engine = InlineEngine(NOTHING, timeout_seconds=0.2, work=never_end)
    engine.submit(7, ANY_JOB)
    began = time.monotonic()
    number, outcome = engine.wait(7)
    assert (number, outcome.failure) == (7, "timed_out")
    assert outcome.detail == "a rung took longer than search.rung_timeout_minutes of 0.00333333"
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("rungs", [1, 3])
def test_a_job_within_its_time_limit_is_not_stopped(rungs: int) -> None:
    def seconds_left(job: Job, data: TrainingData) -> RungResult:
        return RungResult(seconds=signal.getitimer(signal.ITIMER_REAL)[0])

    engine = InlineEngine(NOTHING, timeout_seconds=60.0, work=seconds_left)
    engine.submit(1, replace(ANY_JOB, rungs=rungs))
    assert 60.0 * (rungs - 1) < engine.wait(None)[1].seconds <= 60.0 * rungs
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0.0  # no alarm is pending
