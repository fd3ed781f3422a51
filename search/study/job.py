"""One rung of a trial: training from one epoch to a later one, as a pure function."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Literal

from pipeline.cnn.architecture import Architecture
from pipeline.data.dataset import Dataset
from pipeline.data.split import Split
from pipeline.errors import message_of
from pipeline.params import TrainingParams

Epoch = dict[str, float]
Failure = Literal["diverged", "out_of_memory", "timed_out", "worker_lost"]


@dataclass(frozen=True)
class StudyData:
    """What every job trains on and is judged by."""

    dataset: Dataset
    train: Split
    val: Split


@dataclass(frozen=True)
class Job:
    """Train a network up to and including epoch `until`, from `state` on (None: from the start).

    Attributes:
        shares: of the training images that each epoch takes.
        measure_latency: measure the time to classify one image first.
        max_latency_ms: do not train a network that takes longer; None: any time.
    """

    architecture: Architecture
    training: TrainingParams
    seed: int
    shares: tuple[float, ...]
    until: int
    state: bytes | None
    measure_latency: bool = False
    max_latency_ms: float | None = None


@dataclass(frozen=True)
class RungResult:
    """What became of a job.

    Attributes:
        history: metrics of each epoch from the first on, earlier rungs included; empty after a failure.
        state: where the next rung goes on; empty after a failure.
        latency_ms: median time to classify one image; None: not asked for.
        failure: why there is no result; None: there is one, or the network is too slow.
        detail: a sentence about the failure.
        seconds: that it took, by the clock.
    """

    history: tuple[Epoch, ...] = ()
    state: bytes = b""
    latency_ms: float | None = None
    failure: Failure | None = None
    detail: str = ""
    seconds: float = 0.0


RungFunction = Callable[[Job, StudyData], RungResult]


def train_rung(job: Job, data: StudyData) -> RungResult:
    """Do a job. What is neither divergence nor a lack of memory is a bug, and is raised."""
    began = time.monotonic()
    outcome = _train(job, data)
    return replace(outcome, seconds=time.monotonic() - began)


def _train(job: Job, data: StudyData) -> RungResult:
    from pipeline.backend.runtime import is_out_of_memory, start_backend

    start_backend()
    from pipeline.training.fit import Diverged, Fit, fit
    from pipeline.training.state import StateError
    from pipeline.training.trainer import TRAINER_CACHE

    def train(state: bytes | None) -> Fit:
        return fit(
            job.architecture,
            job.training,
            data.dataset,
            data.train,
            data.val,
            seed=job.seed,
            state=state,
            until=job.until,
            shares=job.shares,
        )

    latency_ms = None
    try:
        if job.measure_latency:
            from pipeline.training.latency import measure_latency

            latency_ms = measure_latency(job.architecture, data.dataset, job.training.threads)
            if job.max_latency_ms is not None and latency_ms > job.max_latency_ms:
                return RungResult(latency_ms=latency_ms)
        try:
            fitted = train(job.state)
        except StateError:  # a damaged file costs the epochs before, not the result
            fitted = train(None)
    except Diverged as error:
        return RungResult(latency_ms=latency_ms, failure="diverged", detail=str(error))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        TRAINER_CACHE.clear()  # they hold memory that the next candidate may need
        detail = message_of(error) if str(error).strip() else "the memory did not suffice"
        return RungResult(latency_ms=latency_ms, failure="out_of_memory", detail=detail)
    return RungResult(
        history=tuple(asdict(epoch) for epoch in fitted.history), state=fitted.state, latency_ms=latency_ms
    )
